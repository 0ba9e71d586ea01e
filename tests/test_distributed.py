"""One, two and four processes are the same experiment."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from moco import distributed
from moco.errors import MocoError
from moco.ops.sync_batch_norm import norms_over_processes

MANY = Path(__file__).parent / "many"
CASES = [
    "v1",
    "v2",
    "v2, groups of two processes",
    "v2, one group",
    "cifar",
    "memory-bank",
    "end-to-end",
    "simclr",
    "v3",
    "v3-vit, masked",
    "cifar, in parts",
    "v2, patches and small crops",
]
TWICE = ["v1", "v2", "memory-bank", "simclr"]
GO_ON = [*TWICE, "v2, one group"]


def torchrun(processes, *arguments):
    return run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, *arguments]
    )


def run(command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs(made_once):
    """Twenty steps of each case by each number of processes; one and two also go on from what four saved."""

    def make(folder):
        for processes in (4, 1, 2):
            script = [MANY / "twenty_steps.py", folder]
            done = torchrun(processes, *script) if processes > 1 else run([sys.executable, *script])
            assert done.returncode == 0, done.stderr[-3000:]

    folder = made_once("many", make)
    return {processes: torch.load(folder / f"{processes}.pt", weights_only=True) for processes in (1, 2, 4)}


@pytest.mark.parametrize(("case", "processes"), [(c, 2) for c in TWICE] + [(c, 4) for c in CASES])
def test_the_number_of_processes_changes_nothing_but_rounding(runs, case, processes):
    assert_the_same_but_for_rounding(runs[1][case], runs[processes][case])


def assert_the_same_but_for_rounding(one, many):
    """The images and views of each step, its losses, and the weights and dictionary at the end."""
    assert torch.equal(one["order"], many["order"])
    assert torch.allclose(one["views"], many["views"], atol=1e-6)
    assert one["losses"].isfinite().all()
    assert torch.allclose(one["losses"], many["losses"], atol=3e-5)
    for part in ("model", "dictionary"):
        assert one[part].keys() == many[part].keys()
        for name, value in one[part].items():
            a, b = value.double(), many[part][name].double()
            assert (a - b).norm() <= 1e-4 * a.norm() + 1e-6, name  # some are nil but for rounding


@pytest.mark.parametrize(("case", "processes"), [(c, 2) for c in TWICE] + [(c, 1) for c in GO_ON])
def test_what_four_processes_saved_in_mid_epoch_goes_on_with_fewer_as_if_nothing_had_happened(runs, case, processes):
    whole, rest = runs[1][case], runs[processes][f"{case}, from four"]
    assert len(rest["losses"]) == 10
    later = {name: whole[name][10:] for name in ("order", "views", "losses")}
    assert_the_same_but_for_rounding(whole | later, rest)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("images", ["memory", "crops"])
def test_views_made_where_their_keys_are_encoded_equal_finished_views_that_are_sent(runs, images, processes):
    made, sent = runs[processes]["shuffled"][images].unbind(1)
    assert torch.allclose(made, sent, atol=1e-6)
    assert torch.allclose(made, runs[1]["shuffled"][images][:, 0], atol=1e-6)
    assert not torch.allclose(made, made.roll(1, 0), atol=0.1), "no two are alike"


def test_a_process_that_loses_one_bit_of_its_queue_stops_the_run_and_is_named(runs):
    assert re.search(r"process 1 of 2 differs from the rest in the dictionary", runs[2]["stray"])


def test_what_cannot_start_is_said_by_the_main_process_alone(runs):
    (kind, words), (other, _) = runs[2]["refused"]
    assert (kind, other) == ("MocoError", "ToldElsewhere")
    assert words.startswith("--out ")
    assert words.endswith(" is a file; name a folder")


def test_on_one_process_everything_is_the_identity():
    x, order = torch.randn(6, 3), np.array([3, 1, 0, 5, 4, 2])
    assert distributed.gather(x) is x
    assert distributed.gather_with_gradient(x) is x
    assert torch.equal(distributed.permute(x, order), x[torch.from_numpy(order)])
    assert distributed.largest([3, -1]) == [3, -1]
    assert distributed.on_main(lambda: "done") == "done"
    assert distributed.main_process()


def test_a_checksum_sees_a_bit_and_the_order():
    a, b = torch.randn(50), torch.randn(50)
    assert distributed.checksum([a, b]) == distributed.checksum([a.clone(), b.clone()])
    assert distributed.checksum([a, b]) != distributed.checksum([b, a])
    changed = a.clone()
    changed.view(torch.int32)[7] ^= 1
    assert distributed.checksum([a]) != distributed.checksum([changed])
    assert distributed.checksum([a]) != distributed.checksum([a.flip(0)])


@pytest.mark.parametrize(
    ("processes", "batch", "group", "words"),
    [(3, 16, 4, "does not divide among 3 processes"), (2, 24, 8, "one must divide the other")],
)
def test_a_batch_or_a_group_that_fits_no_way_is_refused_with_what_to_do(monkeypatch, processes, batch, group, words):
    monkeypatch.setattr("moco.ops.sync_batch_norm.count", lambda: processes)
    with pytest.raises(MocoError, match=words):
        norms_over_processes(torch.nn.Sequential(), batch, group)


def test_pixels_of_16_bits_are_put_in_another_order():
    pixels = torch.arange(0, 60_000, 10_000, dtype=torch.int32).to(torch.uint16).reshape(3, 2)
    moved = distributed.permute(pixels, np.array([2, 0, 1]))
    assert moved.dtype == torch.uint16
    assert moved.tolist() == [[40_000, 50_000], [0, 10_000], [20_000, 30_000]]
