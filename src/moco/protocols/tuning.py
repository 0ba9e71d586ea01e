"""A training from end to end: a copy of an encoder and a new linear classifier learn from labelled images.

BatchNorm is in training mode, SGD sees random crops and mirroring, and the middle of each image is judged in eval mode.
What a training does is a function of settings and images: order and crops are drawn from (seed, epoch, image).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco.device import Placement, seeded
from moco.embed import embed
from moco.errors import MocoError
from moco.optim import build_optimizer, learning_rate, set_learning_rate_
from moco.preprocess import Preprocess
from moco.protocols.labels import spare
from moco.protocols.lesson import Exam, Lesson, RowsPlan
from moco.protocols.linear import views_of
from moco.protocols.probe import Heads
from moco.recipe import SGD, Recipe, Steps, v2

LEAST_STEPS = 500
"""No training has fewer steps: 100 epochs of 50 images are 100 steps, after which nothing has converged. The number is
BiT's for fewer than 20,000 images (arXiv:1912.11370, section 3.3)."""
HELD_BACK = 0.2
"""Share of the training images by which a rate is chosen."""


@dataclass(frozen=True)
class Preset:
    """What a paper says of its training."""

    lr: float
    scratch_lr: float
    """The rate for an encoder that was never trained."""
    at: tuple[float, ...]
    """Shares of the epochs after which the rate falls to a tenth."""
    epochs: int = 100


PRESETS = {
    "inaturalist": Preset(lr=0.025, scratch_lr=0.1, at=(0.7, 0.9)),
    "imagenet": Preset(lr=0.03, scratch_lr=0.1, at=(0.3, 0.6, 0.9)),
}
"""v1, A.6 (all numbers) and A.7 (the rates; the schedule is the usual one of 100 epochs, a tenth every 30)."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings of a training; the papers' where nothing is said. A batch below 256 lowers the rate in proportion."""

    prefix: ClassVar[str] = "finetune"
    needs_labels: ClassVar[bool] = True

    preset: str = "inaturalist"
    lrs: tuple[float, ...] = ()
    """Rates to choose from on held-back training images, the same for every encoder, instead of the preset's two."""
    epochs: int | None = None
    """The preset's 100 where nothing is said."""
    steps: int = LEAST_STEPS
    """The epochs are as many more as it takes to make this many steps."""
    batch: int = 256
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise MocoError(f"--finetune-preset {self.preset}: take {' or '.join(PRESETS)}")
        for name, least in (("epochs", 1), ("steps", 0), ("batch", 2)):
            if (value := getattr(self, name)) is not None and value < least:
                raise MocoError(f"--finetune-{name} {value}: must be at least {least}")
        if self.lrs and min(self.lrs) <= 0:
            raise MocoError(f"--finetune-lrs {' '.join(map(str, self.lrs))}: must be positive numbers")

    def rates(self, trained: bool) -> tuple[float, ...]:
        """The rates to choose from, for an encoder that was trained before or for one that was not."""
        preset = PRESETS[self.preset]
        return self.lrs or (preset.lr if trained else preset.scratch_lr,)

    def plan(self, rows: NDArray[np.int64]) -> RowsPlan:
        """Epochs and batches for these images: a function of their number, so the same for every encoder."""
        batch = min(self.batch, len(rows))
        epochs = self.epochs or PRESETS[self.preset].epochs
        epochs = max(epochs, -(-self.steps // (len(rows) // batch)))
        return RowsPlan(len(rows), batch, epochs, self.seed, rows=rows)


def choose_rate(
    backbone: nn.Module,
    lesson: Lesson,
    rates: Sequence[float],
    settings: Tuning,
    placement: Placement,
    keys: NDArray[np.uint64],
) -> float:
    """The rate that does best on a fifth of the lesson's images, held back from each class; the first of equals.

    `keys` name the images (`labels.name_keys`). The first rate where there is no choice, or no class has two images.
    Raises DivergedError where every rate does.
    """
    held = spare(lesson.labels, keys[lesson.rows], HELD_BACK, settings.seed)
    if len(rates) == 1 or not held.any():
        return rates[0]
    fewer, exam = lesson.at(lesson.rows[~held]), lesson.at(lesson.rows[held]).as_exam()
    accuracy: dict[float, float] = {}
    for lr in rates:
        try:
            last = tune(backbone, fewer, exam, lr, settings, placement)[-1]
        except DivergedError:
            continue
        accuracy[lr] = float((last < 1).mean())
    if not accuracy:
        raise DivergedError(*rates)
    return max(accuracy, key=lambda lr: accuracy[lr])


def rate_words(settings: Tuning) -> str:
    """How the rate was chosen, where there was a choice."""
    if not settings.lrs:
        return ""
    return (
        f"Each contender's rate was chosen among {', '.join(f'{lr:g}' for lr in settings.lrs)} on {HELD_BACK:.0%} of "
        "the training images that were held back; then a fresh copy was tuned on all of them and judged"
    )


class DivergedError(MocoError):
    """A training whose loss is no number any more."""

    def __init__(self, *rates: float) -> None:
        shown = ", ".join(f"{lr:g}" for lr in rates)
        super().__init__(f"fine-tuning diverges at a rate of {shown}; give lower ones with --finetune-lrs")


def tune(
    backbone: nn.Module,
    lesson: Lesson,
    exam: Exam,
    lr: float,
    settings: Tuning,
    placement: Placement,
    every: int | None = None,
) -> list[NDArray[np.int64]]:
    """For each image of the exam, how many classes a tuned copy of `backbone` finds likelier than its own: 0 is right.

    Every so many epochs, and at the end. Raises DivergedError.
    """
    plan = settings.plan(lesson.rows)
    assert plan.epochs is not None
    model = _with_classifier(backbone, len(lesson.train.classes), lesson.preprocess, settings.seed, placement)
    recipe = _recipe(settings, lr * plan.batch / 256, plan.epochs)
    assert isinstance(recipe.optim, SGD)
    optimizer = build_optimizer(recipe.optim, model)
    looks: list[NDArray[np.int64]] = []
    with seeded(settings.seed, placement.device):  # dropout, where there is any
        model.train()
        for step, batch in enumerate(lesson.loader.batches(plan, 0)):
            target = torch.from_numpy(lesson.train.labels[batch.index]).to(placement.device)
            set_learning_rate_(optimizer, learning_rate(recipe, step, plan.steps_per_epoch))
            with placement.autocast():
                logits = model(views_of(batch, lesson.views, placement))
            loss = F.cross_entropy(logits.float(), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done, rest = divmod(step + 1, plan.steps_per_epoch)
            if not rest and (done == plan.epochs or (every is not None and done % every == 0)):
                logits = embed(model, exam.images, exam.preprocess.normalise, placement)
                if not logits.isfinite().all():
                    raise DivergedError(lr)
                looks.append(_ranks(logits, exam.labels))
    return looks


def _ranks(logits: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each image's class among its logits (N x classes), from 0; of equal ones the first class leads."""
    order = logits.argsort(dim=1, descending=True, stable=True).numpy()
    found: NDArray[np.int64] = (order == labels[:, None]).argmax(axis=1)
    return found


def _with_classifier(
    backbone: nn.Module, classes: int, preprocess: Preprocess, seed: int, placement: Placement
) -> nn.Module:
    """A copy of the backbone, all of it to be trained, with a linear classifier behind it: N(0, 0.01), zero bias."""
    tuned = placement.put(copy.deepcopy(backbone)).eval()
    with torch.no_grad():
        one = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size, device=placement.device)
        width = tuned(one).shape[1]
    with seeded(seed, torch.device("cpu")):
        classifier = nn.Linear(width, classes)
    with torch.no_grad():
        classifier.weight.copy_(Heads(1, width, classes, seed).weight[0])
        classifier.bias.zero_()
    return placement.put(nn.Sequential(tuned, classifier)).requires_grad_(True)


def _recipe(settings: Tuning, lr: float, epochs: int) -> Recipe:
    """Optimizer and schedule, as `learning_rate` reads them."""
    optim = SGD(lr=lr, momentum=settings.momentum, weight_decay=settings.weight_decay)
    schedule = Steps(at=tuple(round(share * epochs) for share in PRESETS[settings.preset].at))
    return replace(v2(), optim=optim, schedule=schedule, epochs=epochs)
