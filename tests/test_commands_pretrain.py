"""What `pretrain` says before it starts: cheap things first, the right advice, and nothing written."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from moco.commands.pretrain import pretrain
from moco.commands.watch import KNNWatch
from moco.data.open import open_labelled
from moco.device import Placement
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.recipe import KNN, Normalize, override, v2

CPU = Machine(device="cpu", precision="fp32", workers=1, threads=1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"out": "file"}, "is a file"),
        ({"out": "a" * 300}, "file name too long"),
        ({"recipe": "v9"}, "there is no recipe 'v9'"),
        ({"views": "cats"}, "--views cats"),
        ({"machine": Machine(device="teapot")}, "--machine.device teapot"),
    ],
)
def test_what_is_quickly_said_is_said_before_the_images_are_looked_at(tmp_path, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(MocoError, match=why):
        pretrain(**{"data": "no such images", "out": "run", "machine": CPU} | arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["resnet99", "resnet18w0", "timm:nothing_like_it"])
def test_an_unknown_backbone_leaves_no_run_directory(digits_file, tmp_path, name):
    with pytest.raises(MocoError, match=rf"--encoder.backbone {name}"):
        pretrain(digits_file, tmp_path / "run", machine=CPU, changes={"encoder.backbone": name})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("images", "auto"), [(10, False), (100, True)])
def test_auto_is_advised_only_where_it_would_take_the_images(digits, tmp_path, images, auto):
    np.save(tmp_path / "few.npy", digits[0][:images])
    small = override(v2(), {"batch": 8, "encoder.norm_group": 4})
    for recipe in (v2(), small):
        with pytest.raises(MocoError) as said:
            pretrain(tmp_path / "few.npy", tmp_path / "run", recipe, machine=CPU)
        assert ("recipe auto" in str(said.value)) == auto


def test_watched_images_of_other_classes_are_refused_before_the_run_starts(digits_file, tmp_path):
    for part, name in (("train", "cat"), ("train", "cow"), ("test", "dog")):
        (tmp_path / "watch" / part / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "watch" / part / name / "1.png")
    with pytest.raises(MocoError, match="none of its classes"):
        pretrain(digits_file, tmp_path / "run", machine=CPU, watch=tmp_path / "watch")
    assert not (tmp_path / "run").exists()


def test_knn_of_separate_colours_is_perfect_and_leaves_the_encoder_in_training(tmp_path):
    pixels = np.zeros((20, 16, 16, 3), dtype=np.uint8)
    pixels[10:, :, :, 0] = 255
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(20) // 10)
    recipe = override(
        v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "image_size": 16, "encoder.norm_group": 4}
    )
    recipe = dataclasses.replace(recipe, knn=KNN(k=3))
    torch.manual_seed(0)
    encoder = build_encoder(recipe.encoder)[0].train()
    placement = Placement(torch.device("cpu"), False, False, 1, "")
    watch = KNNWatch(open_labelled(tmp_path / "x.npz"), recipe, Preprocess(16, Normalize()), placement, 0)
    assert watch(encoder) == {"knn": 1.0}
    assert encoder.training


def test_on_windows_the_import_says_where_it_runs():
    code = "import sys; sys.platform = 'win32'; import moco"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: moco runs on Linux and macOS" in done.stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_gib", -1.0), ("memory_gib", float("nan")), ("checkpoint_seconds", float("nan")),
        ("checkpoint_seconds", 0.0), ("threads", 0), ("workers", -1), ("log_every", 0), ("keep_every", -1),
        ("watch_every", 0), ("max_skipped", 1.5),
    ],
)  # fmt: skip
def test_a_machine_that_cannot_be_names_its_flag(field, value):
    with pytest.raises(MocoError, match=rf"--machine.{field.replace('_', '-')} {value}"):
        Machine(**{field: value})
