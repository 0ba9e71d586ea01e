"""`moco pretrain image-text --text.tower FOLDER`: gone on with bit for bit, and used, when the folder is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.test_resume import StopAt, assert_equal, rows, small, state
from PIL import Image

import moco
from moco.commands.embed import embed_images
from moco.commands.embed_text import embed_texts
from moco.commands.find import find_neighbours
from moco.commands.pretrain import pretrain
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.stop import Stopped

pytest.importorskip("transformers")
from text_models import bert

MACHINE = Machine(device="cpu", precision="fp32", workers=0, log_every=1)
COLOURS = {"red": (250, 0, 0), "blue": (0, 0, 250)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """48 images of one colour each, and a BERT that knows its name."""
    path = tmp_path_factory.mktemp("borrowed")
    lines = ["path,caption"]
    for i in range(48):
        name = list(COLOURS)[i % 2]
        Image.new("RGB", (16, 16), tuple(c // (1 + i // 24) for c in COLOURS[name])).save(path / f"{i:02}.png")
        lines.append(f"{i:02}.png,a photo of a {name} {'dog' if i % 3 else 'house'} {'a ' * (i % 5)}")
    (path / "t.csv").write_text("\n".join(lines))
    bert(path / "bert")
    return path


def recipe_of(folder):
    return small("image-text", epochs=2, **{"text.tower": str(folder / "bert"), "text.length": 10})


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory) -> Path:
    return pretrain(folder / "t.csv", tmp_path_factory.mktemp("runs") / "whole", recipe_of(folder), machine=MACHINE)


def test_a_run_goes_on_bit_for_bit_without_the_folder(run, folder, tmp_path, hears_ctrl_c):
    recipe = recipe_of(folder)
    with pytest.raises(Stopped):
        pretrain(folder / "t.csv", tmp_path / "cut", recipe, machine=MACHINE, tell=StopAt(3))
    shutil.move(folder / "bert", folder / "elsewhere")
    try:
        pretrain(folder / "t.csv", tmp_path / "cut", recipe, machine=MACHINE)
    finally:
        shutil.move(folder / "elsewhere", folder / "bert")
    assert rows(run) == rows(tmp_path / "cut")
    assert_equal(state(run), state(tmp_path / "cut"))


def test_it_began_with_the_weights_of_the_folder_and_both_copies_moved(run, folder):
    model = state(run)["model"]
    name = "tower.net.encoder.layer.0.attention.self.query.weight"
    given = bert(folder / "again").joinpath("model.safetensors")
    from safetensors.torch import load_file

    start = load_file(given)["encoder.layer.0.attention.self.query.weight"]
    query, key = (model[f"{which}.{name}"] for which in ("text_query_encoder", "text_key_encoder"))
    assert 0 < (key - start).abs().max() < (query - start).abs().max() < 0.1


def test_texts_are_embedded_and_find_images_by_the_run_alone(run, folder, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    texts = embed_texts(tmp_path / "run", ["a red dog", "a blue house"])
    again = embed_texts(tmp_path / "run", ["a blue house", "a red dog"])
    np.testing.assert_allclose(texts.features, again.features[::-1], rtol=1e-4, atol=1e-5)
    images = embed_images(tmp_path / "run", folder / "t.csv", features="head", machine=MACHINE)
    find_neighbours(images, tmp_path / "found", queries=texts, k=3)
    assert len((tmp_path / "found" / "neighbours.csv").read_text().splitlines()) == 7


def test_the_encoder_of_images_opens_and_is_exported_as_any_other(run, tmp_path):
    encoder, _ = moco.load(run)
    assert encoder(torch.zeros(1, 3, 16, 16)).isfinite().all()
    moco.export(run, "safetensors", tmp_path / "out")
    assert list((tmp_path / "out").iterdir())


def test_what_is_no_text_model_is_refused_before_anything_is_made(folder, tmp_path):
    with pytest.raises(MocoError, match=r"--text\.tower .*nowhere: transformers cannot open it"):
        pretrain(
            folder / "t.csv", tmp_path / "a", recipe_of(folder), machine=MACHINE,
            changes={"text.tower": str(tmp_path / "nowhere")},
        )  # fmt: skip
    with pytest.raises(MocoError, match=r"--text\.width 12: .* has its own; leave it out"):
        pretrain(
            folder / "t.csv", tmp_path / "a", recipe_of(folder), machine=MACHINE,
            changes={"text.tower": str(tmp_path / "nowhere"), "text.width": 12},
        )  # fmt: skip
    assert not (tmp_path / "a" / "recipe.json").exists()
