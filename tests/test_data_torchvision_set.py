"""TorchvisionSet: torchvision's data sets, from files in their own formats."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moco.data.open import open_labelled, open_source
from moco.data.torchvision_set import TorchvisionSet
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHVISION_DATA", str(tmp_path / "sets"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there: no test downloads
    return tmp_path / "sets"


@pytest.fixture
def eurosat(root: Path) -> Path:
    for kind in ("Forest", "River"):
        (root / "eurosat" / "2750" / kind).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (64, 64), (i, 0, 0)).save(root / "eurosat" / "2750" / kind / f"{i}.png")
    return root


def write_mnist(root: Path, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    word = {"train": "train", "test": "t10k"}[split]
    for name, kind, values in (("images-idx3", 3, images), ("labels-idx1", 1, labels)):
        header = np.array([0x0800 + kind, *values.shape], ">i4").tobytes()
        (raw / f"{word}-{name}-ubyte").write_bytes(header + values.astype(np.uint8).tobytes())


def test_a_set_with_train_and_test_is_read_with_its_classes(root: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    write_mnist(root, "train", images, np.arange(20) % 10)
    write_mnist(root, "test", images[:10], np.arange(10))
    source = open_source("torchvision:MNIST")
    assert len(source) == 20
    assert np.array_equal(source.raw(3)[:, :, 0], images[3])
    assert source.label(3) == "3 - three"
    assert source.name(3) == "MNIST train row 3"
    assert len(open_source("torchvision:MNIST:test")) == 10
    labelled = open_labelled("torchvision:MNIST")
    assert labelled.bank is not None
    assert (len(labelled.labels), len(labelled.bank.labels), len(labelled.classes)) == (10, 20, 10)
    assert np.array_equal(pickle.loads(pickle.dumps(source)).raw(3), source.raw(3))


def test_a_wrong_split_is_refused_with_the_right_ones(root: Path) -> None:
    with pytest.raises(MocoError, match="splits train and test"):
        TorchvisionSet("MNIST", "val")
    with pytest.raises(MocoError, match="no splits"):
        TorchvisionSet("EuroSAT", "test")


def test_a_set_without_splits_is_read(eurosat: Path) -> None:
    source = TorchvisionSet("EuroSAT")
    assert len(source) == 6
    assert [source.label(i) for i in (0, 5)] == ["Forest", "River"]
    assert source.raw(2)[0, 0].tolist() == [2, 0, 0]


def test_fake_data_is_read_without_labels() -> None:
    source = TorchvisionSet("FakeData")
    assert source.raw(0).shape == (224, 224, 3)
    assert source.label(0) is None
    with pytest.raises(MocoError, match="has no class"):
        open_labelled("torchvision:FakeData:train")


def test_a_set_that_is_not_there_and_cannot_be_fetched_says_where_to_put_it(root: Path) -> None:
    with pytest.raises(MocoError, match=rf"put its files into {root}"):
        TorchvisionSet("CIFAR10")


def test_an_unknown_name_is_answered_with_one_like_it() -> None:
    with pytest.raises(MocoError, match="did you mean CIFAR10"):
        TorchvisionSet("cifar10")
    with pytest.raises(MocoError, match="such as torchvision:CIFAR10"):
        TorchvisionSet("zzzz")
