"""Fine-tuning end to end: the encoder and a new linear classifier learn from labelled images (v1, A.6 and A.7).

A copy of the encoder is tuned, with BatchNorm in training mode, by SGD on random crops and mirroring, and judged on the
middle of each image in eval mode. What a training does is a function of (settings, images): order and crops are drawn
from (seed, epoch, image).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco.device import Placement, seeded
from moco.embed import embed
from moco.errors import MocoError
from moco.evaluate.labels import spare
from moco.evaluate.lesson import Judged, Lesson, RowsPlan
from moco.evaluate.linear import Heads, crops
from moco.optim import build_optimizer, learning_rate, set_learning_rate_
from moco.recipe import SGD, Recipe, Steps, v2

LEAST_STEPS = 500
"""No training has fewer steps: 100 epochs of 50 images are 100 steps, after which nothing has converged. The number is
BiT's for fewer than 20,000 images (arXiv:1912.11370, section 3.3)."""
HELD_BACK = 0.2
"""Share of the training images by which a rate is chosen."""


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Settings of the protocol; iNaturalist's where nothing is said. A batch below 256 lowers rates in proportion."""

    lr: float = 0.025
    scratch_lr: float = 0.1
    """The rate for an encoder that was never trained."""
    lrs: tuple[float, ...] = ()
    """Rates to choose from, for any encoder, by a held-back part of the training images; in the place of the two."""
    epochs: int = 100
    steps: int = LEAST_STEPS
    """The epochs are as many more as it takes to make this many steps."""
    at: tuple[float, ...] = (0.7, 0.9)
    """Shares of the epochs after which the rate falls to a tenth."""
    batch: int = 256
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("steps", 0), ("batch", 2)):
            if getattr(self, name) < least:
                raise MocoError(f"--finetune-{name} {getattr(self, name)}: must be at least {least}")
        if min((self.lr, self.scratch_lr, *self.lrs)) <= 0:
            raise MocoError(f"--finetune-lrs {' '.join(map(str, self.lrs))}: must be positive numbers")

    def rates(self, scratch: bool) -> tuple[float, ...]:
        """The rates to choose from."""
        return self.lrs or (self.scratch_lr if scratch else self.lr,)

    def length(self, images: int) -> int:
        """Epochs for this many images: a function of their number alone, so the same for every encoder."""
        steps_per_epoch = images // min(self.batch, images)
        return max(self.epochs, -(-self.steps // steps_per_epoch))


PRESETS = {
    "inaturalist": Finetune(),
    "imagenet": Finetune(lr=0.03, at=(0.3, 0.6, 0.9)),
}
"""v1, A.6 (all numbers) and A.7 (its rates; it leaves the schedule to the usual recipe, a tenth every 30 epochs)."""


@dataclass(frozen=True)
class FinetuneScore:
    """Accuracy on the judged images: after the last epoch, and the best of all looks."""

    lr: float
    last: float
    best: float
    top5: float
    """Share of images whose class is among the five likeliest, after the last epoch."""


def finetune(
    backbone: nn.Module,
    lesson: Lesson,
    judged: Judged,
    classes: int,
    lr: float,
    settings: Finetune,
    placement: Placement,
) -> FinetuneScore:
    """Accuracy of a tuned copy of `backbone`, judged after each epoch, or so seldom that judging takes no more images
    than learning. Raises DivergedError.
    """
    every = -(-len(judged.labels) // len(lesson.rows))
    looks = tune(backbone, lesson, judged, classes, lr, settings, placement, every)
    top1 = [float((rank < 1).mean()) for rank in looks]
    return FinetuneScore(lr, top1[-1], max(top1), float((looks[-1] < 5).mean()))


def choose_rate(
    backbone: nn.Module,
    lesson: Lesson,
    classes: int,
    rates: Sequence[float],
    settings: Finetune,
    placement: Placement,
    keys: NDArray[np.uint64],
) -> float:
    """The rate that does best on a fifth of the lesson's images, held back from each class; the first of equals.

    `keys` name the images (`labels.name_keys`). The first rate where there is no choice, or no class has two images.
    Raises DivergedError where every rate does.
    """
    rows = lesson.rows
    held = spare(lesson.labels[rows], keys[rows], HELD_BACK, settings.seed)
    if len(rates) == 1 or not held.any():
        return rates[0]
    judged = lesson.some(rows[held]).middles()
    accuracy: dict[float, float] = {}
    for lr in rates:
        try:
            last = tune(backbone, lesson.some(rows[~held]), judged, classes, lr, settings, placement)[-1]
        except DivergedError:
            continue
        accuracy[lr] = float((last < 1).mean())
    if not accuracy:
        raise DivergedError(*rates)
    return max(accuracy, key=lambda lr: accuracy[lr])


class DivergedError(MocoError):
    """A training whose loss is no number any more."""

    def __init__(self, *rates: float) -> None:
        shown = ", ".join(f"{lr:g}" for lr in rates)
        super().__init__(f"fine-tuning diverges at a rate of {shown}; give lower ones with --finetune-lrs")


def tune(
    backbone: nn.Module,
    lesson: Lesson,
    judged: Judged,
    classes: int,
    lr: float,
    settings: Finetune,
    placement: Placement,
    every: int | None = None,
) -> list[NDArray[np.int64]]:
    """For each judged image, how many classes a tuned copy of `backbone` finds likelier than its own: 0 is right.

    Every so many epochs, and at the end. Raises DivergedError.
    """
    images = len(lesson.rows)
    batch = min(settings.batch, images)
    epochs = settings.length(images)
    plan = RowsPlan(images, batch, epochs, settings.seed, rows=lesson.rows)
    model = _with_classifier(backbone, classes, lesson.preprocess.size, settings.seed, placement)
    recipe = _recipe(settings, lr * batch / 256, epochs)
    assert isinstance(recipe.optim, SGD)
    optimizer = build_optimizer(recipe.optim, model)
    looks: list[NDArray[np.int64]] = []
    with seeded(settings.seed, placement.device):  # dropout, where there is any
        model.train()
        for step, (x, index) in enumerate(crops(lesson.loader, plan, lesson.views, placement)):
            target = torch.from_numpy(lesson.labels[index]).to(placement.device)
            set_learning_rate_(optimizer, learning_rate(recipe, step, plan.steps_per_epoch))
            with placement.autocast():
                logits = model(x)
            loss = F.cross_entropy(logits.float(), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done, rest = divmod(step + 1, plan.steps_per_epoch)
            if not rest and (done == epochs or (every is not None and done % every == 0)):
                logits = embed(model, judged.images, judged.preprocess.normalise, placement)
                if not logits.isfinite().all():
                    raise DivergedError(lr)
                looks.append(_ranks(logits, judged.labels))
    return looks


def _ranks(logits: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each image's class among its logits (N x classes), from 0; of equal ones the first class leads."""
    order = logits.argsort(dim=1, descending=True, stable=True).numpy()
    found: NDArray[np.int64] = (order == labels[:, None]).argmax(axis=1)
    return found


def _with_classifier(backbone: nn.Module, classes: int, size: int, seed: int, placement: Placement) -> nn.Module:
    """A copy of the backbone, all of it to be trained, with a linear classifier behind it: N(0, 0.01), zero bias."""
    tuned = placement.put(copy.deepcopy(backbone)).eval()
    with torch.no_grad():
        width = tuned(torch.zeros(1, 3, size, size, device=placement.device)).shape[1]
    with seeded(seed, torch.device("cpu")):
        classifier = nn.Linear(width, classes)
    with torch.no_grad():
        classifier.weight.copy_(Heads(1, width, classes, seed).weight[0])
        classifier.bias.zero_()
    return placement.put(nn.Sequential(tuned, classifier)).requires_grad_(True)


def _recipe(settings: Finetune, lr: float, epochs: int) -> Recipe:
    """Optimizer and schedule, as `learning_rate` reads them."""
    optim = SGD(lr=lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    schedule = Steps(at=tuple(round(share * epochs) for share in settings.at))
    return replace(v2(), optim=optim, schedule=schedule, epochs=epochs)
