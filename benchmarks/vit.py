"""A ViT's step: beside timm's own forward and backward; its memory against the batch in parts; what of it costs what.

`step`: a step of v3-small (two queries, two keys, predictor, AdamW, momentum update) beside what timm's network of the
same shape takes for the same passes (two forward and backward, two forward), in turns. Above 0.9 is the bar.
`memory`: the most memory of a process that takes two steps, each size in a process of its own, with parts of 64 images
and undivided: flat in the batch but for its pixels and keys.
`masked`: seconds of a step with all patches and with a half and a quarter of them for queries (what that is good for:
`vit_masked.py`).
`attention`: seconds of the attention of a block and of its gradients, in bf16, by torch's kernel and by products.

    python benchmarks/vit.py step --json
    python benchmarks/vit.py memory --json
    python benchmarks/vit.py masked --json
    python benchmarks/vit.py attention --json --device cpu
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import timm
import torch
from measure import best_of, show, versions
from torch.nn import functional as F

from moco.data.loader import Batch
from moco.device import keep_freed_memory, most_memory_gib, place
from moco.machine import Machine
from moco.ops.attention import attention_by_products
from moco.recipe import override, v3_small
from moco.recipe.vit import vit_name
from moco.training import Training, build_training, train_step


def training(a: argparse.Namespace, batch: int, parts: int = 1, keep: float = 1.0) -> Training:
    """v3-small, of the shape that is asked for."""
    side = vit_name(a.backbone).side
    changes = {"encoder.backbone": a.backbone, "image_size": side, "batch": batch, "query_view.keep": keep}
    placement = place(Machine(device=a.device, precision=a.precision, threads=torch.get_num_threads()))
    return build_training(override(v3_small(), changes), 1 << 20, placement, parts)


def images(t: Training, size: int) -> Batch:
    """A batch of noise."""
    side = t.recipe.image_size
    pixels = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8)
    return Batch(pixels, np.full((size, 2), side), np.arange(size), 0, {})


def timms(t: Training) -> Callable[[], object]:
    """Forward and backward of timm's network, as often as a step of v3 needs them."""
    vit = vit_name(t.recipe.encoder.backbone)
    net = timm.create_model(
        "vit_small_patch16_224",
        img_size=vit.side,
        patch_size=vit.patch,
        embed_dim=vit.width,
        depth=vit.depth,
        num_heads=vit.heads,
        num_classes=0,
    )
    net = t.placement.put(net).train()
    x = torch.randn(2, t.recipe.batch, 3, vit.side, vit.side, device=t.placement.device)
    x = [view.contiguous(memory_format=t.placement.memory_format) for view in x]

    def work() -> None:
        for view in x:
            with t.placement.autocast():
                net(view).float().square().mean().backward()
                with torch.no_grad():
                    net(view)
        net.zero_grad(set_to_none=True)

    return work


def step(a: argparse.Namespace) -> dict[str, float]:
    """Our whole step, views and optimizer included, beside timm's passes alone."""
    t = training(a, a.batch)
    b = images(t, a.batch)
    found = best_of({"moco": lambda: train_step(t, b), "timm": timms(t)}, a.turns)
    return {**{f"{name}_s": s for name, s in found.items()}, "timm_over_moco": found["timm"] / found["moco"]}


def masked(a: argparse.Namespace) -> dict[str, object]:
    """Seconds of a step by the share of patches that queries get."""
    trainings = {keep: training(a, a.batch, keep=keep) for keep in (1.0, 0.5, 0.25)}
    b = images(trainings[1.0], a.batch)
    work = {f"keep_{keep}_s": (lambda t=t: train_step(t, b)) for keep, t in trainings.items()}
    found = best_of(work, a.turns)
    return {**found, "half_over_whole": found["keep_0.5_s"] / found["keep_1.0_s"]}


def attended(a: argparse.Namespace) -> dict[str, float]:
    """Seconds of attention and its gradients in a block of this shape, by torch's kernel and by products."""
    vit = vit_name(a.backbone)
    shape = (a.batch, 1 + vit.grid**2, 3, vit.heads, vit.width // vit.heads)
    three = torch.randn(shape, device=a.device, dtype=torch.bfloat16, requires_grad=True)

    def work(attend: Callable[..., torch.Tensor]) -> None:
        attend(*three.permute(2, 0, 3, 1, 4).unbind(0)).sum().backward()

    ways = {"torchs": F.scaled_dot_product_attention, "products": attention_by_products}
    found = best_of({name: (lambda way=way: work(way)) for name, way in ways.items()}, a.turns)
    return {
        **{f"{name}_s": s for name, s in found.items()},
        "torchs_over_products": found["torchs"] / found["products"],
    }


def memory(a: argparse.Namespace) -> dict[str, float]:
    """GiB of a process by the size of the batch, in parts of `part` images and undivided."""
    found = {}
    for batch in a.batches:
        for parts in sorted({1, max(1, batch // a.part)}):
            command = [sys.executable, __file__, "peak", "--batch", str(batch), "--parts", str(parts)]
            command += ["--backbone", a.backbone, "--device", a.device, "--precision", a.precision]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[f"batch_{batch}_{'undivided' if parts == 1 else 'in_parts'}_gib"] = float(said.splitlines()[-1])
    return found


def peak(a: argparse.Namespace) -> None:
    """In a process of its own: two steps, and the most memory."""
    t = training(a, a.batch, a.parts)
    for _ in range(2):
        train_step(t, images(t, a.batch))
    print(most_memory_gib(t.placement.device))


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["step", "memory", "masked", "attention", "peak"])
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--backbone", default=v3_small().encoder.backbone)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--part", type=int, default=64)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    keep_freed_memory()
    if a.what == "peak":
        peak(a)
        return
    found = {"step": step, "memory": memory, "masked": masked, "attention": attended}[a.what](a)
    shape = {"backbone": a.backbone, "batch": a.batch, "precision": a.precision}
    result = {"benchmark": f"vit-{a.what}", **found, **shape, **versions()}
    print(json.dumps(result)) if a.json else show(result)


if __name__ == "__main__":
    main()
