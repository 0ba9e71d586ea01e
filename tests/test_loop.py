"""The loop: what is written when, and how a run refuses, stops and goes on."""

import errno
import io
import json
import os

import numpy as np
import pytest
import torch

from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import override, v2
from moco.run.directory import RunDirectory
from moco.run.load import load

SMALL = override(
    v2(),
    {
        "encoder.backbone": "resnet10w8",
        "encoder.stem": "small",
        "encoder.norm_group": 4,
        "encoder.dim": 16,
        "dictionary.size": 64,
        "image_size": 16,
        "batch": 32,
        "epochs": 2,
        "knn.k": 20,
    },
)
CPU = Machine(device="cpu", precision="fp32", workers=1, log_every=5)


def rows(path):
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    """A small finished run on 480 digits, watched on 200 labelled ones."""
    folder = tmp_path_factory.mktemp("finished")
    np.save(folder / "digits.npy", digits[0][:480])
    np.savez(folder / "labelled.npz", images=digits[0][480:680], labels=digits[1][480:680])
    machine = Machine(device="cpu", precision="fp32", workers=1, log_every=5, keep_every=1)
    pretrain(folder / "digits.npy", folder / "run", SMALL, watch=folder / "labelled.npz", machine=machine)
    return folder / "run"


def test_a_run_leaves_what_the_architecture_names(finished):
    for name in ("recipe.json", "machine.json", "environment.json", "data.json", "log.jsonl", "encoder.pt"):
        assert (finished / name).is_file()
    assert {p.name for p in (finished / "checkpoints").iterdir()} == {
        "last.pt",
        "before.pt",
        "epoch-0001.pt",
        "epoch-0002.pt",
    }
    assert any((finished / "tensorboard").iterdir())
    assert not list(finished.rglob("*.tmp"))


def test_the_checkpoint_of_the_last_epoch_is_a_copy_of_the_last_one(finished):
    last, kept = (finished / "checkpoints" / name for name in ("last.pt", "epoch-0002.pt"))
    assert last.read_bytes() == kept.read_bytes()
    assert not last.samefile(kept), "whoever copies another over last.pt must not write into this one"


def test_training_rows_say_what_a_reader_needs(finished):
    training = [row for row in rows(finished) if "loss" in row]
    assert [row["step"] for row in training] == [1, 5, 10, 15, 20, 25, 30]
    assert [row["epoch"] for row in training] == [1, 1, 1, 1, 2, 2, 2]
    for name in ("loss", "chance", "accuracy", "positive", "negative", "lr", "m", "filled", "images_per_second",
                 "data_wait", "memory_gib", "health", "level"):  # fmt: skip
        assert all(name in row for row in training)
    assert training[0]["chance"] == pytest.approx(np.log(65))


def test_scores_and_knn_are_measured_before_training_and_after_epochs(finished):
    scores = [row for row in rows(finished) if "rank" in row]
    knn = [row for row in rows(finished) if "knn" in row]
    assert [row["epoch"] for row in scores] == [0, 1, 2]
    assert [row["epoch"] for row in knn] == [0, 1, 2]
    assert all(0 <= row["knn"] <= 1 for row in knn)
    assert all({"alignment", "uniformity", "spread"} <= row.keys() for row in scores)


def test_the_encoder_is_loaded_in_two_lines(finished, digits):
    encoder, preprocess = load(finished)
    features = encoder(torch.stack([preprocess(im) for im in digits[0][:3]]))
    assert features.shape == (3, 64)
    assert not encoder.training
    whole, _ = load(finished / "encoder.pt", features="head")
    unit = whole(torch.zeros(2, 1, 16, 16))
    assert torch.allclose(unit.norm(dim=1), torch.ones(2), atol=1e-5)


def test_a_run_that_ended_also_gives_whitened_features(finished):
    (plain, preprocess), (white, _) = load(finished), load(finished, features="whitened")
    x = torch.stack([preprocess(image) for image in np.load(finished.parent / "digits.npy")])
    with torch.no_grad():
        moved = white(x)
        again = white[1](plain(x))
    assert torch.equal(moved, again)
    assert moved.mean(dim=0).abs().max() < 1e-2
    variances = moved.var(dim=0, unbiased=False)
    assert 0.98 < variances.max() < 1.02


def test_everything_on_disk_loads_with_weights_only(finished):
    for path in finished.rglob("*.pt"):
        assert torch.load(path, weights_only=True)["step"] > 0


def test_the_same_command_on_a_finished_run_changes_nothing(finished):
    before = (finished / "log.jsonl").read_text()
    pretrain(finished.parent / "digits.npy", finished, SMALL, machine=CPU)
    assert (finished / "log.jsonl").read_text() == before


def test_another_recipe_or_other_images_are_refused(finished, digits_file):
    with pytest.raises(MocoError, match=r"another recipe: epochs was 2, now 3"):
        pretrain(finished.parent / "digits.npy", finished, override(SMALL, {"epochs": 3}), machine=CPU)
    np.save(digits_file, np.zeros((100, 16, 16), dtype=np.uint8))
    with pytest.raises(MocoError, match="now has 100"):
        pretrain(digits_file, finished, SMALL, machine=CPU)


def test_a_folder_of_other_files_is_refused(digits_file, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(MocoError, match="holds other files"):
        pretrain(digits_file, tmp_path / "thesis", SMALL, machine=CPU)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]


def test_a_second_process_on_the_same_run_is_refused(digits_file, tmp_path):
    (tmp_path / "run").mkdir()
    other = RunDirectory(tmp_path / "run")
    other.lock()
    with pytest.raises(MocoError, match="in use by another process"):
        pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU)
    other.unlock()


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(digits_file, tmp_path):
    wild = override(SMALL, {"optim.lr": 1e30})
    with pytest.raises(MocoError, match=r"not finite numbers since step \d+ \(noticed at step \d+\)"):
        pretrain(digits_file, tmp_path / "run", wild, machine=CPU)
    saved = tmp_path / "run" / "checkpoints" / "last.pt"
    assert not saved.exists() or all(
        v.isfinite().all() for v in torch.load(saved, weights_only=True)["model"].values() if v.is_floating_point()
    )


def test_a_full_disk_leaves_the_last_good_checkpoint_and_a_sentence(digits_file, tmp_path, monkeypatch):
    """The disk is full from the second checkpoint on; with room again, the run ends like an undisturbed one."""
    real, writes = os.fsync, []

    def full(fd):
        writes.append(fd)
        if 8 < len(writes) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(fd)

    machine = Machine(device="cpu", precision="fp32", workers=1, log_every=1, checkpoint_seconds=0.01)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MocoError, match="no space left on device"):
            pretrain(digits_file, tmp_path / "run", SMALL, machine=machine)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["step"] >= 1
    pretrain(digits_file, tmp_path / "run", SMALL, machine=machine)
    pretrain(digits_file, tmp_path / "whole", SMALL, machine=machine)
    a, b = (torch.load(tmp_path / n / "checkpoints" / "last.pt", weights_only=True) for n in ("run", "whole"))
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.mark.parametrize("damage", ["cut", "one bit"])
def test_from_a_damaged_checkpoint_a_run_goes_back_to_the_one_before_says_so_and_ends_the_same(
    digits_file, tmp_path, damage
):
    pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 4
    path.write_bytes(content if damage == "one bit" else whole[: len(whole) // 2])
    notes = Notes()
    pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU, tell=notes)
    assert [n for n in notes.notes if "last.pt is damaged" in n and "before.pt, the checkpoint of step 15" in n]
    again, saved = (torch.load(p, weights_only=True) for p in (path, io.BytesIO(whole)))
    assert all(torch.equal(again["model"][k], saved["model"][k]) for k in saved["model"])


def test_where_no_checkpoint_is_whole_it_is_a_sentence(digits_file, tmp_path):
    pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    path.with_name("before.pt").unlink()
    with pytest.raises(MocoError, match=r"last\.pt is damaged .*name another --out"):
        pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU)
    (path.parent / "epoch-0001.pt").write_bytes(b"x")
    torch.save({"step": 3}, path)
    with pytest.raises(MocoError, match=r"last\.pt is of another run .*copy epoch-0001\.pt over it"):
        pretrain(digits_file, tmp_path / "run", SMALL, machine=CPU)


def test_more_images_a_step_than_there_are_is_an_error_that_names_the_flag(digits, tmp_path):
    np.save(tmp_path / "few.npy", digits[0][:20])
    with pytest.raises(MocoError, match="lower --batch"):
        pretrain(tmp_path / "few.npy", tmp_path / "run", SMALL, machine=CPU)
    assert not (tmp_path / "run").exists()


def test_v2_on_few_images_says_that_its_queue_is_too_large_and_names_auto(digits_file, tmp_path):
    with pytest.raises(MocoError, match=r"--dictionary.size .* auto"):
        pretrain(
            digits_file,
            tmp_path / "run",
            override(v2(), {"image_size": 16, "encoder.backbone": "resnet10w8"}),
            machine=CPU,
        )


def test_a_run_stopped_after_an_epoch_goes_on_to_the_same_weights(digits_file, tmp_path):
    """`until` shortens nothing: the schedule is that of the whole recipe."""
    pretrain(digits_file, tmp_path / "parts", SMALL, machine=CPU, until=1)
    last = tmp_path / "parts" / "checkpoints" / "last.pt"
    assert torch.load(last, weights_only=True)["step"] == 15
    pretrain(digits_file, tmp_path / "parts", SMALL, machine=CPU, until=1)
    assert torch.load(last, weights_only=True)["step"] == 15
    pretrain(digits_file, tmp_path / "parts", SMALL, machine=CPU)
    pretrain(digits_file, tmp_path / "whole", SMALL, machine=CPU)
    a, b = (torch.load(tmp_path / n / "checkpoints" / "last.pt", weights_only=True) for n in ("parts", "whole"))
    assert a["step"] == b["step"] == 30
    assert all(torch.equal(a["model"][k], b["model"][k]) for k in a["model"])
