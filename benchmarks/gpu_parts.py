"""Parts of the step on one device, each beside its plain twin or a peer: in turns, the best of each counts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from measure import best_of
from torch import Tensor, nn
from torch.nn import functional as F

from moco.device import Placement
from moco.model import Contrastive, encode
from moco.ops.batch_norm import GroupBatchNorm
from moco.ops.info_nce import Contrast, info_nce
from moco.ops.kernels import has_norm_kernels
from moco.recipe import cifar, override, v2
from moco.two_views import Views


def norms(
    device: torch.device, batch: int, group: int, turns: int, dtype: torch.dtype = torch.bfloat16
) -> dict[str, object]:
    """Forward and backward of BatchNorm on the four shapes of a ResNet-18 at 32 px, over all images and over groups.

    The network has each shape five times, so the sum over them (`together`) is what counts in a step.
    """
    names = {"groups": "groups", "groups_at_once": "at once"}
    if device.type == "cpu" and has_norm_kernels():
        names["groups_in_kernels"] = "kernels"
    work: dict[str, Callable[[], object]] = {}
    for channels, side in ((64, 32), (128, 16), (256, 8), (512, 4)):
        x = torch.randn(batch, channels, side, side, device=device).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        forms = {"plain": nn.BatchNorm2d(channels)}
        for name, form in names.items():
            forms[name] = GroupBatchNorm(nn.BatchNorm2d(channels), group)
            forms[name].form = form
        for name, norm in forms.items():
            work[f"{name}_{channels}"] = passes(norm.to(device), x)
        if device.type == "cuda":
            at_once = forms["groups_at_once"]
            work[f"groups_compiled_{channels}"] = passes(torch.compile(copy.deepcopy(at_once), dynamic=False), x)
    best = best_of(work, turns)
    for form in {name.rsplit("_", 1)[0] for name in best}:
        best[f"{form}_together"] = sum(s for name, s in best.items() if name.rsplit("_", 1)[0] == form)
    times = {name: round(s / best[f"plain_{name.rsplit('_', 1)[1]}"], 2) for name, s in best.items()}
    return {f"{name}_times_plain": value for name, value in times.items() if not name.startswith("plain")}


def passes(module: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
    """Forward and backward, into gradients that are new each time, as in a step."""
    above = torch.randn_like(x)

    def run() -> None:
        x.grad = None
        module(x).backward(above)

    return run


def loss(device: torch.device, queries: int, keys: int, turns: int) -> dict[str, object]:
    """The loss over a dictionary: tensor functions in chunks, and where there is Triton and a GPU one kernel."""
    q, k = F.normalize(torch.randn(2, queries, 128, device=device), dim=-1)
    others = F.normalize(torch.randn(keys, 128, device=device), dim=1)
    forms = {"chunked": {}}
    if device.type == "cuda":
        from moco.ops.info_nce_triton import fused

        forms["fused"] = {"summed": fused}

    def run(form: dict[str, object]) -> Callable[[], object]:
        leaf = q.clone().requires_grad_()
        return lambda: info_nce(leaf, Contrast(k, others), 0.2, **form).loss.backward()

    work = {name: run(form) for name, form in forms.items()}
    result: dict[str, object] = {f"{n}_milliseconds": round(1e3 * s, 3) for n, s in best_of(work, turns).items()}
    if device.type == "cuda":
        for name, one in work.items():
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            one()
            result[f"{name}_extra_mib"] = round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1)
    return {"queries": queries, "keys": keys, **result}


def encoders(placement: Placement, changes: dict[str, object], turns: int) -> dict[str, object]:
    """Forward and backward of a query encoder: eager, compiled, and on a GPU compiled with CUDA graphs."""
    recipe = override(v2(), changes)
    model = placement.put(Contrastive(recipe).train())
    size = recipe.image_size
    x = torch.randn(recipe.batch, 3, size, size, device=placement.device)
    x = x.contiguous(memory_format=placement.memory_format)
    forms: dict[str, Callable[..., Tensor]] = {"eager": encode}
    if placement.device.type == "cuda":
        forms["compiled"] = torch.compile(encode, dynamic=False)
        forms["with_cuda_graphs"] = torch.compile(encode, dynamic=False, mode="reduce-overhead")

    def run(form: Callable[..., Tensor]) -> Callable[[], object]:
        def work() -> None:
            model.zero_grad(set_to_none=True)
            with placement.autocast() if placement.bf16 else nullcontext():
                q = form(model.query_encoder, x)
            q.sum().backward()

        return work

    best = best_of({name: run(form) for name, form in forms.items()}, turns)
    return {f"{name}_images_per_second": round(recipe.batch / s, 1) for name, s in best.items()}


def views(device: torch.device, batch: int, size: int, turns: int) -> dict[str, object]:
    """Two views of images that are on the device; kornia's, where it is installed, of the same images."""
    recipe = override(v2() if size > 64 else cifar(), {"image_size": size})
    pixels = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=device)
    sizes, index = np.full((batch, 2), size), np.arange(batch)
    ours = Views(recipe)
    work: dict[str, Callable[[], object]] = {"ours": lambda: ours(pixels, sizes, index, 0, torch.channels_last)}
    if (augment := kornia_views(size, blur=size > 64)) is not None:

        def kornia() -> object:
            x = pixels.float() / 255
            return augment(x), augment(x)

        work["kornia"] = kornia
    rate = {name: round(2 * batch / s) for name, s in best_of(work, turns).items()}
    result: dict[str, object] = {f"{name}_views_per_second": value for name, value in rate.items()}
    if "kornia" in rate:
        result["ratio_to_kornia"] = round(rate["ours"] / rate["kornia"], 2)
    return result


def kornia_views(size: int, blur: bool) -> Callable[[Tensor], Tensor] | None:
    """The same operations from kornia, each image with draws of its own."""
    try:
        import kornia.augmentation as k
    except ImportError:
        return None
    return nn.Sequential(
        k.RandomResizedCrop((size, size), scale=(0.2, 1.0)),
        k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        k.RandomGrayscale(p=0.2),
        *([k.RandomGaussianBlur((23, 23), (0.1, 2.0), p=0.5)] if blur else []),
        k.RandomHorizontalFlip(p=0.5),
        k.Normalize(mean=torch.tensor([0.485, 0.456, 0.406]), std=torch.tensor([0.229, 0.224, 0.225])),
    )
