"""`moco transfer` as a user meets it: tables, resuming to the bit, bad data, several starts, pictures."""

import copy
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transfer_data import make_cityscapes, make_coco, make_masks, make_voc

from moco.backbones import build_backbone
from moco.commands.transfer import share_of, transfer
from moco.device import Placement
from moco.errors import MocoError
from moco.loggers import followed
from moco.loggers.table import LOGGERS
from moco.machine import Machine
from moco.recipe import Normalize, override
from moco.run.log import read_log
from moco.run.tensors import read_tensors
from moco.transfer.batches import Loader, Step
from moco.transfer.layouts.coco import read_coco
from moco.transfer.layouts.masks import read_masks
from moco.transfer.recipe import TASKS, Trial
from moco.transfer.tuning import build_model, build_tuning, tune_step

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=0, log_every=1)
VIEWS = {"views.short": (56, 64), "views.test": 64}
PLACE = Placement(torch.device("cpu"), False, True, 1, "")
PARTS = {"parts.before_nms": (100, 50), "parts.after_nms": (30, 15), "parts.rois": 16}
PARTS |= {"parts.anchors": (8, 16, 32, 64, 96)}
SMALL = {"batch": 4, "norm_group": 2, "schedule.steps": 4, **VIEWS, **PARTS}


def small(task, **more):
    changes = SMALL if "segment" not in task else {k: v for k, v in SMALL.items() if k[:5] not in ("parts", "views")}
    return override(TASKS[task](), {**changes, **({"views.size": 48} if "segment" in task else {}), **more})


class Heard:
    """Keeps what is told."""

    def __init__(self):
        self.notes, self.rows = [], []

    def note(self, text):
        self.notes.append(text)

    def row(self, row, step, steps, seconds_left):
        self.rows.append(row)


def run(task, data, out, heard=None, start=("random",), **more):
    arguments = {"backbone": "resnet10w8", "looks": 2, "machine": CPU, **more}
    recipe = small(task) if isinstance(task, str) else task
    return transfer(recipe, data, out, start, tell=heard or Heard(), **arguments)


TASK_DATA = {
    "detect-voc": make_voc,
    "detect-coco": make_coco,
    "detect-coco-c4": make_coco,
    "keypoints": make_coco,
    "instance-lvis": lambda root: make_coco(root, kinds=("lvis",)),
    "instance-cityscapes": make_cityscapes,
    "segment": make_masks,
    "segment-voc": make_voc,
    "segment-cityscapes": make_cityscapes,
}


@pytest.mark.parametrize("task", TASK_DATA)
def test_each_task_trains_and_is_judged(task, tmp_path):
    heard = Heard()
    data = TASK_DATA[task](tmp_path / "data")
    out = run(task, data, tmp_path / "out", heard)
    content = json.loads((out / "results.json").read_text())
    curve = content["runs"][0]["curve"]
    assert [row["step"] for row in curve] == [0, 2, 4]
    assert all(0 <= v <= 1 for row in curve for k, v in row.items() if k not in ("step", "epoch"))
    losses = [row["loss"] for row in heard.rows if "loss" in row]
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    assert (out / "curves.png").stat().st_size > 1000
    assert len(list((out / "pictures").glob("*.png"))) == 4, "a picture of each test image"
    page = (out / "report.html").read_text()
    assert page.count("<img") == 5
    assert '<td class="name">random</td>' in page
    first = next(i for i, note in enumerate(heard.notes) if note.startswith("1 of 1"))
    assert "a step of 4 images takes" in heard.notes[first - 1], "an estimate comes before the first step"


def weights(folder):
    return read_tensors(folder / "model.pt")["model"]


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    data = make_voc(tmp_path / "data")
    whole = run("detect-voc", data, tmp_path / "whole") / "random-seed0"
    from moco.transfer import loop

    step = loop.tune_step

    def stopping(t, batch):
        losses = step(t, batch)
        if t.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses

    monkeypatch.setattr(loop, "tune_step", stopping)
    with pytest.raises(loop.Stopped):
        run("detect-voc", data, tmp_path / "parts")
    monkeypatch.undo()
    heard = Heard()
    parts = run("detect-voc", data, tmp_path / "parts", heard) / "random-seed0"
    assert any("going on from step 3 of 4" in note for note in heard.notes)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(parts).values(), strict=True))
    timed = {"images_per_second", "data_wait", "memory_gib", "judged_in"}
    logs = [read_log(folder / "log.jsonl") for folder in (whole, parts)]
    rows = [[{k: v for k, v in row.items() if k not in timed} for row in log] for log in logs]
    assert rows[0] == rows[1]
    again = Heard()
    run("detect-voc", data, tmp_path / "parts", again)
    assert any("is finished" in note for note in again.notes)


KILLED_AT_STEP_7 = """
import os, signal
from moco.cli import main
from moco.transfer import loop

step = loop.tune_step

def killed(t, batch):
    if t.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(t, batch)

loop.tune_step = killed
main()
"""


def test_a_killed_run_ends_as_if_it_had_not_been_bit_for_bit(tmp_path):
    from moco.cli.transfer import run as on_the_command_line

    data = make_voc(tmp_path / "data")
    asked = [
        *("detect-voc", "--data", str(data), "--backbone", "resnet10w8", "--batch", "4", "--norm-group", "2"),
        *("--schedule.steps", "12", "--looks", "3", "--views.short", "56", "64", "--views.test", "64"),
        *("--parts.rois", "16", "--parts.after-nms", "30", "15", "--machine.device", "cpu"),
        *("--machine.precision", "fp32", "--machine.threads", "1", "--machine.workers", "1", "--out"),
    ]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_STEP_7, "transfer", *asked, str(tmp_path / "cut")])
    assert killed.returncode == -signal.SIGKILL
    assert read_tensors(tmp_path / "cut/random-seed0/checkpoints/last.pt")["step"] == 4
    again = [sys.executable, "-m", "moco", "transfer", *asked, str(tmp_path / "cut")]
    assert "going on from step 4 of 12" in subprocess.run(again, capture_output=True, text=True, check=True).stdout
    on_the_command_line([*asked, str(tmp_path / "whole")])
    whole, cut = (tmp_path / name / "random-seed0" for name in ("whole", "cut"))
    assert weights(whole).keys() == weights(cut).keys()
    assert all(torch.equal(value, weights(cut)[name]) for name, value in weights(whole).items())
    judged = [[r["step"] for r in read_log(folder / "log.jsonl") if "loss" not in r] for folder in (whole, cut)]
    assert judged == [[0, 4, 8, 12]] * 2


def test_starts_and_seeds_stand_side_by_side_with_differences(tmp_path):
    data = make_voc(tmp_path / "data")
    encoder = pretrained(tmp_path)
    heard = Heard()
    out = run("detect-voc", data, tmp_path / "out", heard, start=("random", encoder), seeds=(0, 1), labels=(0.5, 1.0))
    runs = json.loads((out / "results.json").read_text())["runs"]
    assert len(runs) == 8
    assert [(r["start"], r["seed"]) for r in runs[:4]] == [("random", 0), ("mine", 0), ("random", 1), ("mine", 1)]
    table = (out / "results.md").read_text()
    assert "50% of the labels" in table
    assert "mean ± standard deviation of 2 seeds" in table
    assert "| mine | " in table
    assert "In brackets: the difference to random" in table


def pretrained(tmp_path):
    """An encoder file of the shape of `resnet10w8`, as any library writes it."""
    torch.manual_seed(5)
    path = tmp_path / "mine"
    torch.save({"state_dict": build_backbone("resnet10w8")[0].state_dict()}, path)
    return str(path)


def test_the_same_start_gives_the_same_run_and_another_start_another(tmp_path):
    data = make_masks(tmp_path / "data")
    encoder = pretrained(tmp_path)
    starts = {"a": encoder, "b": encoder, "c": "random"}
    outs = [run("segment", data, tmp_path / name, start=(start,)) for name, start in starts.items()]
    a, b, c = (weights(next(out.glob("*-seed0"))) for out in outs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["stages.conv1.weight"], c["stages.conv1.weight"])


def test_a_frozen_norm_of_the_start_never_changes_and_new_ones_are_trained(tmp_path):
    data, encoder = make_masks(tmp_path / "data"), pretrained(tmp_path)
    out = run(small("segment", freeze_norm=True), data, tmp_path / "out", start=(encoder,))
    before = torch.load(encoder, weights_only=True)["state_dict"]
    after = weights(out / "mine-seed0")
    norms = [name for name in before if ".bn" in f".{name}" and "tracked" not in name]
    assert norms
    assert all(torch.equal(after[f"stages.{name}"], before[name]) for name in norms)
    assert not torch.equal(after["stages.conv1.weight"], before["conv1.weight"])
    assert after["head.1.running_mean"].abs().max() > 0


def test_a_step_of_two_groups_is_the_mean_of_the_steps_of_each(tmp_path):
    """So that a batch needs the memory of one group: gradients and running statistics."""
    part, _ = read_masks(make_masks(tmp_path / "data"), None, None)
    recipe = small("segment")
    batch = next(Loader(recipe, part, 0, 0).steps(0))
    assert len(batch.groups) == 2
    torch.manual_seed(0)
    net = build_backbone("resnet10w8")[0]
    start = copy.deepcopy(build_model(recipe, copy.deepcopy(net), part, 0).state_dict())

    def after(groups):
        trial = Trial(recipe=recipe, start="random")
        t = build_tuning(trial, copy.deepcopy(net), Normalize(), part, PLACE)
        t.model.load_state_dict(start)
        tune_step(t, Step(groups))
        return t.model.state_dict()

    both, *alone = (after(groups) for groups in (batch.groups, batch.groups[:1], batch.groups[1:]))
    assert not torch.equal(both["stages.conv1.weight"], start["stages.conv1.weight"])
    for name, value in both.items():
        if value.is_floating_point():
            assert torch.allclose(value, (alone[0][name] + alone[1][name]) / 2, atol=1e-6), name


def test_a_share_of_the_labels_is_part_of_a_larger_share(tmp_path):
    part, _ = read_coco(make_coco(tmp_path / "data", train=20), None, None)
    shares = (share_of(part, 0.25, 0), share_of(part, 0.5, 0), share_of(part, 0.25, 1))
    quarter, half, other = ({image.key for image in share.images} for share in shares)
    assert (len(quarter), len(half)) == (5, 10)
    assert quarter < half
    assert other != quarter


def test_bad_annotations_are_listed_and_too_many_stop_before_anything_is_trained(tmp_path):
    data = make_voc(tmp_path / "data")
    (data / "Annotations/000003.xml").write_text("<annotation>")
    with pytest.raises(MocoError, match=r"000003.xml, line 1: damaged XML .*--machine.max-skipped"):
        run("detect-voc", data, tmp_path / "out")
    assert "000003.xml" in (tmp_path / "out/complaints.txt").read_text()
    assert not (tmp_path / "out/random-seed0").exists()
    heard = Heard()
    run("detect-voc", data, tmp_path / "out", heard, machine=replace(CPU, max_skipped=0.5))
    assert "1 annotations or images make no sense and are left out" in heard.notes[0]


def test_an_image_that_cannot_be_read_is_skipped_in_training_and_named_when_judged(tmp_path):
    data = make_voc(tmp_path / "data")
    lenient = replace(CPU, max_skipped=0.5)
    (data / "JPEGImages/000002.png").write_bytes(b"no image")
    out = run("detect-voc", data, tmp_path / "out", machine=lenient)
    assert "000002.png" in (out / "random-seed0/skipped.txt").read_text()
    (data / "JPEGImages/000009.png").write_bytes(b"no image")
    with pytest.raises(MocoError, match=r"000009.png is to be judged, but text, not an image"):
        run("detect-voc", data, tmp_path / "other", machine=lenient)


def test_an_image_of_another_size_than_its_annotations_is_said(tmp_path):
    data = make_voc(tmp_path / "data")
    text = (data / "Annotations/000009.xml").read_text()
    (data / "Annotations/000009.xml").write_text(text.replace("<width>64", "<width>65"))
    with pytest.raises(MocoError, match="the image is 64 x 64 pixels, its annotations are for 65 x 64"):
        run("detect-voc", data, tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"start": ()}, "--start is missing"),
        ({"labels": (0.0,)}, "--labels 0"),
        ({"looks": 0}, "--looks 0"),
        ({"seeds": (-1,)}, "--seeds"),
        ({"start": ("nowhere",)}, "there is no run, file or model nowhere"),
        ({"start": ("torchvision:alexnet",)}, "--start torchvision:alexnet: .* takes ResNets"),
    ],
)
def test_what_cannot_be_is_said_before_data_are_read(tmp_path, more, why):
    with pytest.raises(MocoError, match=why):
        run("detect-voc", tmp_path / "nothing", tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_another_recipe_or_other_data_are_refused_in_the_same_folder(tmp_path):
    data = make_masks(tmp_path / "data")
    out = run("segment", data, tmp_path / "out")
    with pytest.raises(MocoError, match=r"another recipe: recipe.optim.lr was 0.003, now 0.5"):
        run(small("segment", **{"optim.lr": 0.5}), data, out)
    (data / "images/train/0.png").unlink()
    (data / "masks/train/0.png").unlink()
    with pytest.raises(MocoError, match="was started on 8 images"):
        run("segment", data, out)


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path):
    data = make_masks(tmp_path / "data")
    with pytest.raises(MocoError, match=r"no finite number since step \d+ .* Lower --optim.lr"):
        run(small("segment", **{"optim.lr": 1e30}), data, tmp_path / "out")


def test_an_unknown_task_is_a_sentence():
    command = [sys.executable, "-m", "moco", "transfer", "fly", "--data", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no task 'fly'; the tasks are detect-voc" in done.stderr


def test_the_command_line_takes_starts_one_by_one_or_together():
    from moco.cli.transfer import _repeated

    once = _repeated(["--start", "a", "--out", "o", "--start", "b", "--start=c"])
    assert once == ["--out", "o", "--start", "a", "b", "c"]
    assert _repeated(["--start", "a", "b", "--x", "1"]) == ["--x", "1", "--start", "a", "b"]


def test_two_processes_are_one(tmp_path):
    """With a group of BatchNorm each, and with one group that they share."""
    script = Path(__file__).parent / "many" / "transfer_steps.py"
    make_coco(tmp_path / "data")
    single = [sys.executable, script, tmp_path]
    double = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script, tmp_path]
    for command in (single, double):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    for case in ("own", "shared"):
        one, two = (torch.load(tmp_path / f"{case}-{n}.pt", weights_only=True) for n in (1, 2))
        assert torch.allclose(one["losses"], two["losses"], atol=2e-4), case
        learnt = {name: value for name, value in one["model"].items() if "batches_tracked" not in name}
        for name, value in learnt.items():
            assert torch.allclose(value.float(), two["model"][name].float(), atol=1e-3), (case, name)
        assert one["scores"] == pytest.approx(two["scores"], abs=1e-3)


def test_loggers_get_the_rows_and_the_recipe_of_each_start(tmp_path, monkeypatch):
    opened = {}

    class Kept:
        where = "nowhere"

        def __init__(self, about):
            self.about, self.steps, self.ending = about, [], None

        def row(self, row):
            self.steps.append(row["step"])

        def close(self, ending):
            self.ending = ending

    def open_kept(name, about):
        return opened.setdefault(about.name, Kept(about))

    monkeypatch.setattr(followed, "open_logger", open_kept)
    monkeypatch.setitem(LOGGERS, "json", "moco:none")  # a library that is installed everywhere
    make_masks(tmp_path / "data")
    run("segment", tmp_path / "data", tmp_path / "out", seeds=(0, 1), log=["json"])
    assert len(opened) == 2
    for name, kept in opened.items():
        assert kept.ending == "finished"
        assert kept.steps == [row["step"] for row in read_log(tmp_path / "out" / name / "log.jsonl")]
        assert kept.about.settings["start"] == "random"
        assert kept.about.settings["recipe.batch"] == 4
    with pytest.raises(MocoError, match="--log x: there is no such logger"):
        run("segment", tmp_path / "data", tmp_path / "out", log=["x"])
