"""A step of fine-tuning against torchvision's reference loop: Mask R-CNN with a pyramid, the same ResNet and images.

Theirs is `torchvision.models.detection.MaskRCNN` with `BackboneWithFPN` and BatchNorm in training mode, given the same
images as float tensors of their final size, in the reference's order: losses, zero_grad, backward, SGD. Ours starts
from the uint8 batch that a worker hands over. They work in turns; the best turn of each counts.

    python benchmarks/transfer.py           # a table
    python benchmarks/transfer.py --json    # one line: ratio, seconds of each, memory over steps
    python benchmarks/transfer.py --wait    # how long a small FCN waits for the images that one process prepares
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import best_of, versions
from PIL import Image
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from moco.backbones import build_backbone
from moco.device import Placement, find_device
from moco.recipe import Normalize, override
from moco.run.clock import Clock
from moco.transfer.batches import Loader, Step
from moco.transfer.layouts.annotated import Annotated, Part, Thing
from moco.transfer.parts.stages import widths
from moco.transfer.recipe import Transfer, Trial, detect_coco, segment
from moco.transfer.tuning import build_tuning, canvas_of, tune_step

CLASSES, THINGS = 20, 8
WIDTH, HIDDEN = 64, 256
"""Channels of the pyramid and the mask head, and of the box head: the same in both."""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--arch", default="resnet18w16")
    parser.add_argument("--size", type=int, default=160, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--wait", action="store_true", help="measure waiting, with one thread and one worker")
    a = parser.parse_args()
    torch.set_num_threads(1 if a.wait else a.threads)
    device = find_device(a.device)
    place = Placement(device, False, True, a.threads, "")
    if a.wait:
        with TemporaryDirectory() as folder:
            print(json.dumps({**waiting(Path(folder), a.arch, place), "arch": a.arch, "versions": versions()}))
        return
    with TemporaryDirectory() as folder:
        part = drawn_part(Path(folder), a.size, a.batch)
        recipe = override(
            detect_coco(),
            {
                "batch": a.batch,
                "views.short": (a.size,),
                "views.test": a.size,
                "parts.width": WIDTH,
                "parts.hidden": HIDDEN,
            },
        )
        batch = next(Loader(recipe, part, 0, 0).steps(0))
    ours, theirs = our_step(recipe, part, batch, a.arch, place), their_step(recipe, batch, a.arch, place)
    seconds = best_of({"ours": ours, "torchvision": theirs}, a.turns)
    for _ in range(30):  # as many regions are found as will be
        ours()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):
        ours()
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    found = {
        "ratio": round(seconds["ours"] / seconds["torchvision"], 3),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "growth_mib_in_20_steps": round(growth, 1),
        "arch": a.arch,
        "size": a.size,
        "batch": a.batch,
        "threads": a.threads,
        "versions": versions(),
    }
    if a.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:24}{value}")


def waiting(folder: Path, arch: str, place: Placement, steps: int = 100) -> dict[str, float]:
    """The share of the time that a small FCN (8 crops of 128 px out of 256) waits: in the first tenth, and after it."""
    part = drawn_part(folder, 256, 32)
    for image in part.images:
        labels = np.zeros((image.height, image.width), dtype=np.uint8)
        for thing in image.things:
            x0, y0, x1, y1 = map(int, thing.box)
            labels[y0:y1, x0:x1] = thing.label
        Image.fromarray(labels).save(folder / f"mask{image.name}")
    images = tuple(replace(one, mask=folder / f"mask{one.name}") for one in part.images)
    part = replace(part, images=images, values=tuple((c, c) for c in range(CLASSES)))
    changes = {"batch": 8, "views.size": 128, "views.scale": (0.8, 1.6), "schedule.steps": steps}
    recipe = override(segment(), changes)
    t = build_tuning(Trial(recipe=recipe, start="random"), build_backbone(arch)[0], Normalize(), part, place)
    clock, found = Clock(0), {}
    for batch in clock.timed(Loader(recipe, part, 0, 1, memory_gib=4.0).steps(0)):
        float(tune_step(t, batch)["loss"])
        if t.step in (steps // 10, steps):
            pace = clock.pace(t.step)
            found["begin" if t.step < steps else "data_wait"] = round(pace.wait, 4)
            found["seconds_of_a_step"] = round(pace.seconds / pace.steps, 4)
            clock.restart(t.step)
    return found


def drawn_part(folder: Path, size: int, images: int) -> Part:
    """Noise with bright boxes, each a thing with a mask."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(images):
        pixels = rng.integers(80, 150, (size, size, 3)).astype(np.uint8)
        things = []
        for _ in range(THINGS):
            w, h = rng.integers(size // 8, size // 2, 2)
            x, y = int(rng.integers(0, size - w)), int(rng.integers(0, size - h))
            x1, y1 = x + int(w), y + int(h)
            pixels[y:y1, x:x1] = rng.integers(0, 255, 3)
            outline = [[x, y, x1, y, x1, y1, x, y1]]
            things.append(Thing((x, y, x1, y1), int(rng.integers(CLASSES)), float(w * h), outline=outline))
        path = folder / f"{i}.png"
        Image.fromarray(pixels).save(path)
        found.append(Annotated(path.name, path, i, size, size, tuple(things)))
    return Part(tuple(found), tuple(str(c) for c in range(CLASSES)))


def our_step(recipe: Transfer, part: Part, batch: Step, arch: str, place: Placement) -> Callable[[], object]:
    """A step as the loop makes it."""
    torch.manual_seed(0)
    t = build_tuning(Trial(recipe=recipe, start="random"), build_backbone(arch)[0], Normalize(), part, place)
    return lambda: tune_step(t, batch)


def their_step(recipe: Transfer, batch: Step, arch: str, place: Placement) -> Callable[[], object]:
    """torchvision's references/detection, for one batch."""
    torch.manual_seed(0)
    net = build_backbone(arch)[0]
    layers = {f"layer{i}": str(i - 1) for i in range(1, 5)}
    channels = widths(net)
    body = BackboneWithFPN(net, layers, channels, WIDTH, LastLevelMaxPool(), nn.BatchNorm2d)
    side = recipe.views.test  # type: ignore[union-attr]
    model = MaskRCNN(
        body,
        box_head=TwoMLPHead(WIDTH * 49, HIDDEN),
        box_predictor=FastRCNNPredictor(HIDDEN, CLASSES + 1),
        mask_head=MaskRCNNHeads(WIDTH, (WIDTH,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(WIDTH, WIDTH, CLASSES + 1),
        min_size=side,
        max_size=1333,
        rpn_anchor_generator=AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=2000,
        rpn_post_nms_top_n_train=1000,
    )
    place.put(model).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.001, 0.9, weight_decay=1e-4)
    (group,) = batch.groups
    whole = canvas_of(group.pixels, group.sizes, Normalize(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)), place).pixels
    images = [image[:, :h, :w] for image, (h, w) in zip(whole, group.sizes, strict=True)]
    targets = [
        {"boxes": t.boxes, "labels": t.labels + 1, "masks": t.masks}
        for t in (t.to(place.device) for t in group.targets)
    ]

    def step() -> None:
        losses = sum(model(images, targets).values())
        optimizer.zero_grad()
        losses.backward()  # type: ignore[union-attr]
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
