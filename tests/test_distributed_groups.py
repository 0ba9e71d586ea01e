"""Positives from groups, by one process and by two."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from test_distributed import MANY, run, sys, torchrun


def test_two_processes_equal_one_with_several_partners_a_query_and_groups_in_the_queue(tmp_path):
    script = [MANY / "grouped_steps.py", tmp_path]
    for done in (run([sys.executable, *script]), torchrun(2, *script)):
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    for images in ("memory", "workers"):
        a, b = one[images], two[images]
        assert torch.allclose(a["losses"], b["losses"], atol=3e-5)
        assert torch.equal(a["dictionary"]["owner"], b["dictionary"]["owner"])
        assert (a["dictionary"]["owner"] >= 0).all()
        for part in ("model", "dictionary"):
            for name, value in a[part].items():
                assert (value.double() - b[part][name].double()).norm() <= 1e-4 * value.double().norm(), name


def test_two_processes_equal_one_with_captions_a_queue_of_each_kind_and_a_borrowed_tower(tmp_path, monkeypatch):
    if find_spec("transformers"):
        from text_models import bert

        bert(tmp_path / "model", hidden_dropout_prob=0.5)
    monkeypatch.syspath_prepend(str(MANY))
    import captioned_steps

    captioned_steps.main(tmp_path)
    done = torchrun(2, MANY / "captioned_steps.py", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    for tower, a in one.items():
        b = two[tower]
        assert torch.allclose(a["losses"], b["losses"], atol=3e-5), tower
        for part in ("model", "dictionary"):
            for name, value in a[part].items():
                assert (value.double() - b[part][name].double()).norm() <= 1e-4 * value.double().norm() + 1e-6, name
