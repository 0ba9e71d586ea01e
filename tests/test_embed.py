"""Images to features: in order, once, without those that cannot be read."""

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from moco.data.array import Array
from moco.data.folder import Folder
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize

CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")
PREPROCESS = Preprocess(8, Normalize())


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    for i in range(5):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"")
    return Folder(tmp_path)


class FirstPixel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return x[:, :, 0, 0]


def test_features_come_in_the_order_of_the_readable_images(folder):
    images = Prepared(folder, PREPROCESS.centre)
    features = embed(FirstPixel(), images, PREPROCESS.normalise, CPU, batch=2)
    assert images.index.tolist() == [0, 1, 3, 4]
    expected = (torch.tensor([0.0, 40, 120, 160]) / 255 - 0.485) / 0.229
    torch.testing.assert_close(features[:, 0], expected)
    assert images.skipped == {2: "no bytes"}


def test_a_second_pass_reads_no_file_and_gives_the_same(folder, tmp_path):
    images = Prepared(folder, PREPROCESS.centre)
    first = embed(FirstPixel(), images, PREPROCESS.normalise, CPU)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert torch.equal(first, embed(FirstPixel(), images, PREPROCESS.normalise, CPU, batch=3))


@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_in_eval_mode_while_it_embeds_and_then_as_before(folder, training):
    module = FirstPixel().train(training)
    embed(module, Prepared(folder, PREPROCESS.centre), PREPROCESS.normalise, CPU)
    assert not any(module.modes)
    assert module.training == training


def test_features_are_fp32_without_gradient_whatever_the_precision(folder):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    bf16 = Placement(torch.device("cpu"), bf16=True, channels_last=True, threads=1, reason="")
    features = embed(net, Prepared(folder, PREPROCESS.centre), PREPROCESS.normalise, bf16)
    assert features.dtype == torch.float32
    assert not features.requires_grad


def test_images_of_which_none_can_be_read_are_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MocoError, match=r"none of the images of folder .*, 1 image can be read \(a.png: no bytes\)"):
        embed(FirstPixel(), Prepared(Folder(tmp_path), PREPROCESS.centre), PREPROCESS.normalise, CPU)


def test_sources_that_hand_out_pixels_get_no_workers(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2500, 8, 8), dtype=np.uint8))
    assert Prepared(Array(tmp_path / "x.npy"), PREPROCESS.centre, workers=4).workers == 0


class Signalled:
    """2,000 images; whoever reads number 5 is sent the signals that a scheduler or Ctrl-C sends to all processes."""

    description = "images"

    def __init__(self, png):
        self.png = png

    def __len__(self):
        return 2000

    def name(self, i):
        return str(i)

    def raw(self, i):
        if i == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        return self.png


def test_workers_leave_signals_to_the_main_process(folder, tmp_path):
    images = Prepared(Signalled((tmp_path / "1.png").read_bytes()), PREPROCESS.centre, workers=1)
    assert images.workers == 1
    assert len(embed(FirstPixel(), images, PREPROCESS.normalise, CPU)) == 2000
