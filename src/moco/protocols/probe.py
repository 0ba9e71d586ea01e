"""Linear classifiers on features: SGD as in the official code (v1, section 4.1; its `main_lincls.py`).

Learning rates are tried side by side: the frozen network sees an image once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco.device import seeded
from moco.errors import MocoError
from moco.protocols.interval import wilson
from moco.protocols.result import Cell, Format

SWEEP = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Learning rates that a sweep tries: up to ten times the papers' 30, and down to what suits the pixels themselves."""
HELD_BACK = 0.1
"""Share of the training images that a sweep chooses its rate on."""
RATE = "rate chosen"
"""The column of a sweep that is no score."""
TOP = 5
"""The class is among so many likeliest: shown where there are more classes."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Settings of a linear classifier; the papers' where nothing is said. A batch below 256 lowers the rates alike."""

    prefix: ClassVar[str] = "linear"
    name: ClassVar[str]
    needs_labels: ClassVar[bool] = True

    lrs: tuple[float, ...] = (30.0,)
    sweep: bool = False
    """Choose the rate, for each contender, on a tenth of the training images, then train anew on all of them."""
    epochs: int = 100
    at: tuple[float, ...] = (0.6, 0.8)
    """Shares of the epochs after which the rate falls to a tenth: 60 and 80 of 100."""
    batch: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise MocoError(f"--linear-epochs {self.epochs}: must be at least 1")
        if not self.lrs or min(self.lrs) <= 0:
            raise MocoError(f"--linear-lrs {' '.join(map(str, self.lrs))}: must be positive numbers")


@dataclass(frozen=True)
class LinearScore:
    """Accuracy on the judged images: after the last epoch, and the best of all epochs (which the papers report)."""

    lr: float
    last: float
    best: float
    top5: float
    """Share of images whose class is among the five likeliest, after the last epoch."""


@dataclass(frozen=True)
class Judged:
    """Features (N x D) and classes (N) that the classifier is judged by."""

    features: Tensor
    labels: NDArray[np.int64]


def swept(choose: Callable[[Sequence[float]], list[LinearScore]]) -> float:
    """The rate of SWEEP that scores best after the last epoch, on images that are not the judged ones."""
    return max(choose(SWEEP), key=lambda score: score.last).lr


def columns(settings: Probe, classes: int) -> tuple[list[str], list[Format]]:
    """What a row of scores says: top 1 for each rate, top 5 where there are more classes, and the rate of a sweep."""
    rates = ["its own rate"] if settings.sweep else [f"rate {lr:g}" for lr in settings.lrs]
    names = [name for rate in rates for name in ([rate, f"{rate}, top {TOP}"] if classes > TOP else [rate])]
    formats: list[Format] = ["share"] * len(names)
    return ([*names, RATE], [*formats, "number"]) if settings.sweep else (names, formats)


def cells(settings: Probe, scores: Sequence[LinearScore], classes: int, judged: int) -> list[Cell]:
    """A row of those columns."""
    shares = [s for score in scores for s in ([score.last, score.top5] if classes > TOP else [score.last])]
    found = [Cell(share, None, wilson(share, judged)) for share in shares]
    return [*found, Cell(scores[0].lr)] if settings.sweep else found


def classify(
    batches: Iterable[tuple[Tensor, NDArray[np.int64]]], images: int, judged: Judged, classes: int, settings: Probe
) -> list[LinearScore]:
    """SGD with momentum 0.9 on one classifier for each rate, judged after every epoch."""
    batch = min(settings.batch, images)
    steps_per_epoch = images // batch
    width, device = judged.features.shape[1], judged.features.device
    heads = Heads(len(settings.lrs), width, classes, settings.seed).to(device)
    rates = torch.tensor(settings.lrs, device=device) * batch / 256
    velocity = [torch.zeros_like(p) for p in heads.parameters()]
    truth = torch.from_numpy(judged.labels).to(device)
    found: list[Tensor] = []
    for step, (x, labels) in enumerate(batches):
        assert labels.min() >= 0
        assert labels.max() < classes
        epoch = step // steps_per_epoch
        factor = 0.1 ** sum(epoch >= round(share * settings.epochs) for share in settings.at)
        target = torch.from_numpy(labels).to(device)
        logits = heads(x.to(device))
        loss = F.cross_entropy(logits.flatten(0, 1), target.repeat(len(rates)), reduction="sum") / len(target)
        gradients = torch.autograd.grad(loss, list(heads.parameters()))
        with torch.no_grad():
            for p, v, g in zip(heads.parameters(), velocity, gradients, strict=True):
                v.mul_(0.9).add_(g)
                p.sub_(v * (factor * rates).view(-1, *[1] * (p.ndim - 1)))
        if (step + 1) % steps_per_epoch == 0:
            found.append(_hits(heads, judged.features, truth))
    table = torch.stack(found)  # epochs x rates x (top 1, top 5)
    return [
        LinearScore(lr, float(table[-1, i, 0]), float(table[:, i, 0].max()), float(table[-1, i, 1]))
        for i, lr in enumerate(settings.lrs)
    ]


class Heads(nn.Module):
    """R linear classifiers, all with the same start: N(0, 0.01) and zero bias."""

    def __init__(self, number: int, width: int, classes: int, seed: int) -> None:
        super().__init__()
        with seeded(seed, torch.device("cpu")):
            weight = torch.randn(classes, width) * 0.01
        self.weight = nn.Parameter(weight.repeat(number, 1, 1))
        self.bias = nn.Parameter(torch.zeros(number, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits R x N x classes of features N x D."""
        return torch.einsum("rcd,nd->rnc", self.weight, x) + self.bias[:, None]


@torch.no_grad()
def _hits(heads: Callable[[Tensor], Tensor], features: Tensor, truth: Tensor) -> Tensor:
    """Accuracy of each classifier, R x 2: the class is the likeliest, or among the five likeliest."""
    hits = []
    for x, labels in zip(features.split(4096), truth.split(4096), strict=True):  # type: ignore[no-untyped-call]
        logits = heads(x)
        likely = logits.topk(min(5, logits.shape[-1]), dim=-1).indices == labels[None, :, None]
        hits.append(torch.stack([likely[..., 0].sum(dim=1), likely.any(dim=-1).sum(dim=1)], dim=1))
    return torch.stack(hits).sum(dim=0) / len(truth)
