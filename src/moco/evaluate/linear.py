"""Linear classification on frozen features, as the official code does it (v1, section 4.1; its `main_lincls.py`).

The backbone stays in eval mode and without gradients; a linear classifier, N(0, 0.01) at its start, learns from random
crops and flips with a rate of 30 and no weight decay. Learning rates are tried side by side: the frozen network sees an
image once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco.data.loader import Loader, Plan
from moco.device import Placement, seeded
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Blur, Jitter, Recipe, View, v2
from moco.views import Views

CROPS = View(
    scale=(0.08, 1.0), jitter=Jitter(p=0.0), gray=0.0, blur=Blur(p=0.0), order=("jitter", "gray", "blur", "solarize")
)
"""Random crops of 8 to 100 % and mirroring: what the classifier is trained on."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Settings of the protocol; the papers' where nothing is said. A batch below 256 lowers the rates in proportion."""

    lrs: tuple[float, ...] = (30.0,)
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


def crop_views(preprocess: Preprocess, seed: int) -> Views:
    """The crops of the training images, at the encoder's size and normalisation."""
    recipe: Recipe = replace(
        v2(), query_view=CROPS, key_view=None, image_size=preprocess.size, normalize=preprocess.normalize, seed=seed
    )
    return Views(recipe, key=False)


def linear(
    backbone: nn.Module,
    loader: Loader,
    views: Views,
    labels: NDArray[np.int64],
    judged: Judged,
    classes: int,
    settings: Linear,
    placement: Placement,
) -> list[LinearScore]:
    """One score for each learning rate. `loader` gives the images that `labels` names, by position.

    Raises MocoError if any tensor of the backbone has changed, and AssertionError for labels outside the classes.
    """
    before = {name: value.detach().clone() for name, value in backbone.state_dict().items()}

    def features() -> Iterable[tuple[Tensor, NDArray[np.int64]]]:
        plan = Plan(len(labels), min(settings.batch, len(labels)), settings.epochs, settings.seed)
        for x, index in crops(loader, plan, views, placement):
            with torch.no_grad(), placement.autocast():
                made: Tensor = backbone(x)
            yield made.float(), labels[index]

    backbone.eval()
    scores = _classify(features(), len(labels), judged, classes, settings)
    changed = [name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        raise MocoError(
            f"the frozen encoder changed while the classifier was trained ({', '.join(changed[:3])}); a layer of it "
            "keeps state in eval mode, so its linear score would mean nothing"
        )
    return scores


def crops(loader: Loader, plan: Plan, views: Views, placement: Placement) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """The crops of each step, float32 N x 3 x S x S on the device, and the positions (N) of their images."""
    fmt = placement.memory_format
    for batch in loader.batches(plan, 0):
        pixels = batch.pixels.to(placement.device, non_blocking=True)
        if batch.sizes is None:
            x, _ = views.finish(pixels, batch.index, batch.epoch, fmt)
        else:
            x, _ = views(pixels, batch.sizes, batch.index, batch.epoch, fmt)
        yield x, batch.index


def quick_linear(
    features: Tensor, labels: NDArray[np.int64], judged: Judged, classes: int, settings: Linear
) -> list[LinearScore]:
    """The same classifier on features computed once, of the middle of each image: not the papers' protocol."""

    def batches() -> Iterable[tuple[Tensor, NDArray[np.int64]]]:
        plan = Plan(len(labels), min(settings.batch, len(labels)), settings.epochs, settings.seed)
        for step in range(plan.steps):
            index = plan.index(step)
            yield features[torch.from_numpy(index)], labels[index]

    return _classify(batches(), len(labels), judged, classes, settings)


def _classify(
    batches: Iterable[tuple[Tensor, NDArray[np.int64]]], images: int, judged: Judged, classes: int, settings: Linear
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
