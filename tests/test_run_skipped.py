"""Unreadable files: how many a run bears, and what it leaves to read about them."""

import pytest

from moco.errors import MocoError
from moco.run.directory import RunDirectory
from moco.run.skipped import SkipBudget


def test_too_many_unreadable_files_stop_the_run_and_are_listed(tmp_path):
    run = RunDirectory(tmp_path)
    budget = SkipBudget(run, lambda i: f"{i}.jpg", images=200, most=0.01)
    budget.add({3: "truncated JPEG", 9: "no bytes"})
    budget.add({3: "truncated JPEG"})
    assert run.skipped.read_text() == "3.jpg\ttruncated JPEG\n9.jpg\tno bytes\n"
    with pytest.raises(MocoError, match=r"3 of 200 images cannot be read .*--machine.max-skipped"):
        budget.add({11: "no bytes"})


def test_a_run_that_goes_on_counts_the_files_it_listed_before(tmp_path):
    run = RunDirectory(tmp_path)
    SkipBudget(run, lambda i: f"{i}.jpg", images=200, most=0.01).add({3: "truncated JPEG"})
    again = SkipBudget(run, lambda i: f"{i}.jpg", images=200, most=0.01)
    assert len(again) == 1
    again.add({3: "truncated JPEG"})
    assert len(again) == 1
