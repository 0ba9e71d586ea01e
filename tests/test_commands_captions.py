"""`moco pretrain image-text`: from a table of captions to two encoders, gone on with, searched by text, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.test_resume import StopAt, assert_equal, rows, small, state
from PIL import Image

from moco.commands.captions import texts_in
from moco.commands.embed import embed_images
from moco.commands.embed_text import embed_texts
from moco.commands.find import find_neighbours
from moco.commands.pretrain import pretrain
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.stop import Stopped
from moco.search.features import read_features

MACHINE = Machine(device="cpu", precision="fp32", workers=0, log_every=1)
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEXT = {"text.width": 16, "text.layers": 1, "text.heads": 2, "text.length": 8, "text.vocabulary": 300}


@pytest.fixture(scope="module")
def table(digits, tmp_path_factory) -> Path:
    """64 digits whose captions name them, and one without a caption."""
    folder = tmp_path_factory.mktemp("captions")
    lines = ["path,caption"]
    for i, (image, label) in enumerate(zip(digits[0][:65], digits[1][:65], strict=True)):
        Image.fromarray(image).convert("RGB").save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,{f'the digit {NAMES[label]}, number {i}' if i else ''}")
    (folder / "t.csv").write_text("\n".join(lines))
    return folder / "t.csv"


def recipe_of(**more):
    return small("image-text", epochs=2, **TEXT, **more)


@pytest.fixture(scope="module")
def run(table, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    return pretrain(table, out, recipe_of(), machine=MACHINE)


def test_a_run_goes_on_bit_for_bit(run, table, tmp_path, hears_ctrl_c):
    with pytest.raises(Stopped):
        pretrain(table, tmp_path / "cut", recipe_of(), machine=MACHINE, tell=StopAt(4))
    pretrain(table, tmp_path / "cut", recipe_of(), machine=MACHINE)
    assert rows(run) == rows(tmp_path / "cut")
    assert_equal(state(run), state(tmp_path / "cut"))


def test_the_log_has_recall_of_pairs_held_out_and_the_learnt_temperature(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    watched = [row for row in lines if "recall_1" in row]
    assert {f"{way}recall_{k}" for way in ("", "image_") for k in (1, 5, 10)} <= watched[-1].keys()
    assert all(row["recall_1"] <= row["recall_5"] <= row["recall_10"] for row in watched)
    temperatures = [row["temperature"] for row in lines if "loss" in row]
    assert temperatures[0] != temperatures[-1]
    page = (run / "report.html").read_text()
    assert "Captions found" in page
    assert "Temperature" in page


def test_texts_and_images_are_embedded_into_one_space(run, table, tmp_path):
    (tmp_path / "t.txt").write_text("the digit one\n\nthe digit two\n")
    texts = embed_texts(run, texts_in(tmp_path / "t.txt"), tmp_path / "t.npz")
    images = embed_images(run, table, features="head", machine=MACHINE)
    assert texts.features.shape == (2, images.features.shape[1])
    np.testing.assert_allclose(np.linalg.norm(texts.features, axis=1), 1, rtol=1e-5)
    assert read_features(tmp_path / "t.npz").paths == ["the digit one", "the digit two"]
    find_neighbours(images, tmp_path / "found", queries=texts, k=3)
    lines = (tmp_path / "found" / "neighbours.csv").read_text().splitlines()
    assert len(lines) == 7
    assert lines[1].startswith("the digit one,1,")
    assert (tmp_path / "found" / "neighbours.png").exists()


def test_the_text_encoder_of_the_file_is_that_of_the_checkpoint(run):
    saved = torch.load(run / "text.pt", weights_only=True)["encoder"]
    model = state(run)["model"]
    for name, tensor in saved.items():
        assert torch.equal(tensor, model[f"text_query_encoder.{name}"])


def test_zero_shot_names_classes_by_a_sentence(digits, table, tmp_path):
    for i, (image, label) in enumerate(zip(digits[0][100:130], digits[1][100:130], strict=True)):
        path = tmp_path / "watch" / NAMES[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert("RGB").save(path)
    watch, prompt = tmp_path / "watch", "the digit {}"
    pretrain(table, tmp_path / "run", recipe_of(**{"knn.k": 3}), machine=MACHINE, watch=watch, prompt=prompt)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shares = [row["zero_shot"] for row in lines if "zero_shot" in row]
    assert len(shares) >= 2
    assert all(0 <= share <= 1 for share in shares)


def test_what_makes_no_sense_is_refused_in_a_line(run, table, tmp_path):
    with pytest.raises(MocoError, match=r"write \{\} where the name of a class belongs"):
        pretrain(table, tmp_path / "a", recipe_of(), machine=MACHINE, prompt="a photo")
    with pytest.raises(MocoError, match="has no captions; image-text takes"):
        pretrain(table.parent, tmp_path / "b", recipe_of(), machine=MACHINE)
    with pytest.raises(MocoError, match="text 2 of 2 is empty"):
        embed_texts(run, ["a", " "])
    with pytest.raises(MocoError, match="is no run; texts are embedded by runs of"):
        embed_texts(tmp_path / "nowhere", ["a"])
