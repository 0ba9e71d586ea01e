"""`--pairs` in a run: from the table to the queue, saved, gone on with, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.test_resume import StopAt, assert_equal, rows, small, state
from PIL import Image

from moco.commands.pairs import AskedPairs
from moco.commands.pretrain import pretrain
from moco.data.folder import Folder
from moco.data.groups import Groups
from moco.errors import MocoError
from moco.machine import Machine
from moco.pages.pictures import view_rows
from moco.recipe import Grouped, from_json
from moco.run.stop import Stopped

MACHINE = Machine(device="cpu", precision="fp32", workers=0, log_every=1)
TWO = AskedPairs("parent", positives=2)


@pytest.fixture
def folders(digits, tmp_path: Path) -> Path:
    """48 digits in 16 folders of 3."""
    for i, image in enumerate(digits[0][:48]):
        path = tmp_path / "images" / f"{i // 3:02}" / f"{i % 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert("RGB").save(path)
    return tmp_path / "images"


class Notes(StopAt):
    def __init__(self, step=-1):
        super().__init__(step)
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_a_run_with_pairs_goes_on_bit_for_bit_with_the_groups_of_its_queue(folders, tmp_path, hears_ctrl_c):
    recipe = small("v2", epochs=2)
    pretrain(folders, tmp_path / "whole", recipe, machine=MACHINE, pairs=TWO)
    with pytest.raises(Stopped):
        pretrain(folders, tmp_path / "cut", recipe, machine=MACHINE, pairs=TWO, tell=StopAt(4))
    owner = state(tmp_path / "cut")["dictionary"]["owner"]
    assert owner.shape == (40,)
    assert owner.min() >= 0, "4 steps of 32 keys fill it"
    pretrain(folders, tmp_path / "cut", recipe, machine=MACHINE, pairs=TWO)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    assert_equal(state(tmp_path / "whole"), state(tmp_path / "cut"))
    kept = from_json((tmp_path / "cut" / "recipe.json").read_text())
    assert kept.groups == Grouped(by="parent", positives=2)
    assert json.loads((tmp_path / "cut" / "pairs.json").read_text())["groups"] == 16
    with pytest.raises(MocoError, match="was started with another recipe: groups"):
        pretrain(folders, tmp_path / "cut", recipe, machine=MACHINE)


def test_any_number_of_workers_makes_the_same_run_with_pairs(folders, tmp_path):
    recipe = small("v2", epochs=1)
    for n in (0, 2):
        machine = Machine(device="cpu", precision="fp32", workers=n, log_every=1, memory_gib=0)
        pretrain(folders, tmp_path / f"run{n}", recipe, machine=machine, pairs=TWO)
    assert rows(tmp_path / "run0") == rows(tmp_path / "run2")
    assert_equal(state(tmp_path / "run0"), state(tmp_path / "run2"))


def test_what_the_table_says_is_told_and_a_run_does_not_go_on_with_another(folders, tmp_path):
    table = tmp_path / "t.csv"
    names = [p.relative_to(folders) for p in sorted(folders.rglob("*.png"))]
    table.write_text("path,group\nlost.png,0\n" + "".join(f"{n},{i // 4}\n" for i, n in enumerate(names[:45])))
    tell = Notes()
    ask = AskedPairs(str(table), positives=4)
    pretrain(folders, tmp_path / "run", small("v2", epochs=2, batch=8), machine=MACHINE, pairs=ask, tell=tell, until=1)
    assert [n for n in tell.notes if ("group" in n or "row" in n) and "BatchNorm" not in n] == [
        f"positives by {table}: 44 images in 11 groups of 4",
        "4 images are alone in their group and meet a second view of themselves",
        "1 row names no image of --data, such as lost.png",
        f"3 images are of no group in it, such as {names[45]}",
        "44 images have fewer than 4 others in their group, which they meet several times",
    ]
    table.write_text("path,group\n" + "".join(f"{n},{i // 3}\n" for i, n in enumerate(names)))
    with pytest.raises(MocoError, match="began with other groups"):
        pretrain(folders, tmp_path / "run", small("v2", epochs=2, batch=8), machine=MACHINE, pairs=ask)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (AskedPairs(positives=2), "--positives 2 is about groups of images; name them with --pairs"),
        (AskedPairs(window="30s"), "--pair-window 30s is about groups of images"),
        (AskedPairs("t.csv", window="soon"), "--pair-window soon: give a number with its unit"),
        (AskedPairs("nowhere.csv"), "nowhere.csv: there is no such file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_run_begins(folders, tmp_path, asked, says):
    with pytest.raises(MocoError, match=says):
        pretrain(folders, tmp_path / "run", small("v2"), machine=MACHINE, pairs=asked)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_the_report_shows_keys_of_the_partners_that_the_run_draws(tmp_path):
    for i in range(8):
        Image.new("RGB", (16, 16), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    source = Folder(tmp_path)
    recipe = small("v2")
    alone, groups = view_rows(source, recipe), Groups(np.arange(8) // 4)
    partners = view_rows(source, recipe, groups)
    assert [r.queries for r in alone] == [r.queries for r in partners]
    assert all(a.keys != b.keys for a, b in zip(alone, partners, strict=True))


def test_the_log_counts_the_queue_by_all_keys_and_chance_by_all_positives(folders, tmp_path):
    pretrain(folders, tmp_path / "run", small("v2", epochs=1), machine=MACHINE, pairs=TWO)
    first = rows_of(tmp_path / "run")[0]
    assert first["filled"] == pytest.approx(32 / 40)
    assert first["chance"] == pytest.approx(float(torch.tensor(42.0).log()))


def rows_of(run: Path):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in lines if "loss" in row]
