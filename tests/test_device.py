"""Where tensors live: what is set is taken, what is open is measured, and a generator is left as it was."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from moco.device import Placement, find_device, place, seeded
from moco.errors import MocoError
from moco.machine import Machine


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("precision", "bf16"), [("fp32", False), ("bf16", True)])
def test_what_is_set_is_not_measured(precision, bf16):
    placement = place(Machine(device="cpu", precision=precision, threads=1))
    assert (placement.device.type, placement.bf16, placement.threads) == ("cpu", bf16, 1)
    assert placement.reason == f"{precision} on the CPU with 1 thread, as set"
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", ["cuda:99", "teapot", "meta:x"])
def test_a_device_that_is_not_there_is_named_with_its_flag(name):
    with pytest.raises(MocoError, match=rf"--machine.device {name} cannot be used here"):
        find_device(name)


def test_autocast_is_bf16_only_where_it_was_chosen():
    x = torch.ones(2, 2)
    for bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with Placement(torch.device("cpu"), bf16, True, 1, "").autocast():
            assert (x @ x).dtype == dtype


def test_a_module_is_put_in_the_memory_format_of_the_placement():
    net = Placement(torch.device("cpu"), False, True, 1, "").put(torch.nn.Conv2d(4, 4, 3))
    assert net.weight.is_contiguous(memory_format=torch.channels_last)


def test_seeded_draws_the_same_numbers_and_leaves_the_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    drawn = []
    for seed in (5, 5, 6):
        with seeded(seed, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_tensors_that_are_made_again_take_no_new_pages():
    work = """if True:
        import resource, sys, torch
        from moco.device import keep_freed_memory
        if sys.argv[1] == "kept":
            keep_freed_memory()
        def step():
            return len([torch.ones(10 << 20) for _ in range(3)])  # 40 MiB each, given back
        for _ in range(10):
            step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    threshold = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}  # where glibc would find one of its own, it may keep pages too
    faults = {}
    for how in ("kept", "plain"):
        command = [sys.executable, "-c", work, how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | threshold)
        faults[how] = int(done.stdout)
    assert faults["plain"] >= 40, "120 MiB are 60 large pages, or 30,720 small ones"
    assert faults["kept"] < faults["plain"] / 4
