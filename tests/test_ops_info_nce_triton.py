"""The loss in one kernel is its twin in values and gradients: here through Triton's interpreter, which needs no GPU."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton comes with torch for Linux")
SHAPES = [(5, 70, 8), (33, 1000, 20), (64, 256, 128), (1, 1, 16), (40, 4097, 16)]
"""Queries, keys, numbers of a key: one of everything, blocks that are full, and blocks that are not."""


def packed(keys, store):
    """As a dictionary keeps them."""
    match store:
        case "fp32":
            return keys, None
        case "bf16":
            return keys.bfloat16(), None
    scale = keys.abs().amax(dim=1) / 127
    return (keys / scale[:, None]).round().to(torch.int8), scale


def compare(device, programs):
    """Both forms on every shape and store; raises where they differ."""
    from moco.ops import info_nce_triton
    from moco.ops.info_nce import Contrast, info_nce

    info_nce_triton.PROGRAMS = programs
    g = torch.Generator().manual_seed(0)
    for n, m, dim in SHAPES:
        q, k = (F.normalize(torch.randn(n, dim, generator=g), dim=1).to(device) for _ in range(2))
        for store in ("fp32", "bf16", "int8"):
            others, scale = packed(F.normalize(torch.randn(m, dim, generator=g), dim=1).to(device), store)
            found = []
            for form in ({}, {"summed": info_nce_triton.fused}):
                leaf = q.clone().requires_grad_()
                loss = info_nce(leaf, Contrast(k, others, scale=scale), 0.07, **form)
                loss.loss.backward()
                found.append([*(v.detach() for v in loss), leaf.grad])
            for plain, ours in zip(*found, strict=True):
                torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)
    no_gradient = info_nce_triton.fused(q, others, scale, 0.07, gradient=False)
    assert not no_gradient.mixed.any()


@triton
@pytest.mark.parametrize("programs", [1, 512])
def test_one_kernel_gives_the_loss_its_readings_and_gradients(programs):
    """In a process of its own: Triton reads the variable when it is imported."""
    code = f"import sys; sys.path.insert(0, 'tests'); import {__name__} as t; t.compare('cpu', {programs})"
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


@triton
@pytest.mark.parametrize(("architecture", "shared_kib"), [(75, 64), (86, 99)])
def test_the_kernel_compiles_for_gpus_that_are_not_here(architecture, shared_kib):
    """To machine code for one without TF32 and one with, those of their kind with the least shared memory."""
    import triton
    from triton.backends.compiler import GPUTarget

    from moco.ops.info_nce_triton import KEYS, QUERIES, _sums

    types = {"q": "*fp32", "others": "*i8", "scale": "*fp32", "inverse_temperature": "fp32"}
    types |= {f"{name}_out": "*fp32" for name in ("hardest", "total", "mixed", "keys")}
    types |= dict.fromkeys(("n", "m", "length", "dim"), "i32")
    fixed = {"scaled": True, "gradient": True, "rows": QUERIES, "columns": KEYS, "width": 128}
    fixed["precision"] = "tf32x3" if architecture >= 80 else "ieee"
    signature = {name: types.get(name, "constexpr") for name in _sums.arg_names}
    source = triton.compiler.ASTSource(_sums, signature, fixed)
    made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_stages": 2})
    assert made.asm["cubin"]
    assert made.metadata.shared <= shared_kib << 10


@triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("programs", [1, 512])
def test_compiled_for_a_gpu_it_does_so_too(programs, monkeypatch):
    from moco.ops import info_nce_triton

    monkeypatch.setattr(info_nce_triton, "PROGRAMS", programs)
    compare("cuda", programs)
