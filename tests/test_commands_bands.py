"""From images that are no photographs to features: what a run learns from bands, keeps, and uses again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

import moco
from moco.commands.embed import embed_images
from moco.data.decide import Asked
from moco.data.open import open_source
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import from_json, to_json, v2

MACHINE = Machine(precision="fp32", threads=1, compile="off", workers=0)
SMALL = {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "batch": 32, "dictionary.size": 64, "epochs": 1}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def shapes(n, seed=0):
    """Images N x 16 x 16 x 12 of noise; band 7 has stripes across, upright, both or none: its class (N)."""
    random = np.random.default_rng(seed)
    images = random.normal(1500, 100, (n, 16, 16, 12))
    labels = random.integers(0, 4, n)
    y, x = np.mgrid[:16, :16]
    across, upright = np.sin(y * 1.6), np.sin(x * 1.6)
    images[..., 7] += 900 * np.stack([across, upright, across * upright, 0 * x])[labels]
    return images.clip(0, 4095).astype(np.uint16), labels


def knn(encoder, data, labels):
    found = embed_images(encoder, data, machine=MACHINE).features
    unit = torch.nn.functional.normalize(torch.from_numpy(found), dim=1)
    like = unit @ unit.T
    like.fill_diagonal_(-9)
    votes = torch.from_numpy(labels)[like.topk(5).indices]
    return float((votes.mode(dim=1).values == torch.from_numpy(labels)).float().mean())


def test_a_band_that_alone_carries_the_signal_is_learnt(tmp_path):
    images, labels = shapes(512)
    np.save(tmp_path / "x.npy", images)
    changes = SMALL | {
        "encoder.backbone": "resnet10w16",
        "image_size": 16,
        "epochs": 8,
        "optim.lr": 0.12,
        "keys.m": 0.9,
        "query_view.scale": (0.3, 1.0),
    }
    scores = {}
    for name, asked in (("all", None), ("rgb", Asked(bands="2,1,0"))):
        out = tmp_path / name
        moco.pretrain(tmp_path / "x.npy", out, machine=MACHINE, views="satellite", changes=changes, asked=asked)
        scores[name] = knn(out, tmp_path / "x.npy", labels)
    assert scores["rgb"] < 0.35  # a quarter is chance
    assert scores["all"] > scores["rgb"] + 0.2


def test_a_run_on_one_channel_keeps_what_it_found_and_goes_on_with_it(digits_file, tmp_path):
    out = tmp_path / "run"
    moco.pretrain(digits_file, out, machine=MACHINE, changes=SMALL | {"epochs": 2}, until=1)
    recipe = from_json((out / "recipe.json").read_text())
    assert recipe.pixels.channels == len(recipe.normalize.mean) == 1
    moco.pretrain(digits_file, out, machine=MACHINE, changes=SMALL | {"epochs": 2})
    encoder, preprocess = moco.load(out)
    assert encoder.conv1.in_channels == 1
    row = open_source(digits_file).native(0)
    assert encoder(preprocess(row)[None]).shape[0] == 1
    page = (out / "report.html").read_text()
    assert "left out" not in page.lower() or "neighbours are left out" not in page.lower()


def test_a_recipe_from_before_there_were_bands_is_of_photographs(digits_file, tmp_path):
    old = json.loads(to_json(v2()))
    del old["pixels"]
    for view in ("bands", "noise"):
        del old["query_view"][view]
    assert from_json(json.dumps(old)) == v2()


def test_a_run_from_before_goes_on_as_it_was(digits_file, tmp_path):
    """Its gray images were learnt from in three channels, and still are."""
    out = tmp_path / "run"
    rgb = Asked(bands="rgb")
    moco.pretrain(digits_file, out, machine=MACHINE, changes=SMALL | {"epochs": 2}, until=1, asked=rgb)
    old = json.loads((out / "recipe.json").read_text())
    assert old.pop("pixels") is None
    (out / "recipe.json").write_text(json.dumps(old))
    moco.pretrain(digits_file, out, machine=MACHINE, changes=SMALL | {"epochs": 2})
    assert moco.load(out)[0].conv1.in_channels == 3


def test_workers_and_memory_read_the_same_bands(tmp_path):
    (tmp_path / "x").mkdir()
    images, _ = shapes(96)
    for i, image in enumerate(images):
        tifffile.imwrite(tmp_path / "x" / f"{i:03}.tif", image, photometric="minisblack", planarconfig="contig")
    found = {}
    for name, gib in (("memory", 4.0), ("workers", 0.0)):
        machine = replace(MACHINE, memory_gib=gib, workers=1)
        moco.pretrain(tmp_path / "x", tmp_path / name, machine=machine, changes=SMALL)
        assert json.loads((tmp_path / name / "machine.json").read_text())["images"] == name
        found[name] = torch.load(tmp_path / name / "encoder.pt", weights_only=True)["encoder"]
    weight = "backbone.conv1.weight"
    assert found["memory"][weight].shape[1] == 12
    assert torch.allclose(found["memory"][weight], found["workers"][weight], atol=2e-2)


@pytest.mark.parametrize("workers", [0, 1])
def test_values_beyond_the_range_that_workers_meet_are_counted_and_said_once(tmp_path, workers):
    (tmp_path / "x").mkdir()
    random = np.random.default_rng(0)
    for i in range(70):
        image = random.integers(0, 3000, (16, 16)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "x" / f"{i:03}.tif", image * (20 if i in (3, 50) else 1))
    heard = Heard()
    machine = replace(MACHINE, memory_gib=0.0, workers=workers)
    changes = SMALL | {"epochs": 2}
    asked = Asked(range="0,4095")
    moco.pretrain(tmp_path / "x", tmp_path / "run", machine=machine, changes=changes, asked=asked, tell=heard)
    said = [text for text in heard.said if "beyond the range" in text]
    assert len(said) == 1
    assert said[0].startswith("2 images with more than 1 % of the values beyond the range")
    assert "003.tif" in said[0]


class Heard:
    """Keeps what is told."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    def __getattr__(self, name):
        return lambda *given: lambda *more: None


def test_bands_that_are_not_there_stop_a_run_with_the_flag(digits_file, tmp_path):
    with pytest.raises(MocoError, match="--bands 3: the files have 1 band"):
        moco.pretrain(digits_file, tmp_path / "run", machine=MACHINE, asked=Asked(bands="3"))
