"""Linear classification on frozen features, as the official code does it (v1, section 4.1; its `main_lincls.py`).

The backbone stays in eval mode and without gradients; a linear classifier, N(0, 0.01) at its start, learns from random
crops and flips with a rate of 30 and no weight decay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from moco import distributed
from moco.data.labelled import Labelled, hold_back, some
from moco.data.loader import Batch, Loader, Plan
from moco.device import Placement
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest, Features
from moco.protocols.interval import wilson_words
from moco.protocols.probe import HELD_BACK, Judged, LinearScore, Probe, cells, classify, columns, swept
from moco.protocols.result import Result
from moco.recipe import Blur, Jitter, Recipe, View, v2
from moco.two_views import Views

CROPS = View(
    scale=(0.08, 1.0), jitter=Jitter(p=0.0), gray=0.0, blur=Blur(p=0.0), order=("jitter", "gray", "blur", "solarize")
)
"""Random crops of 8 to 100 % and mirroring: what the classifier is trained on."""


@dataclass(frozen=True, kw_only=True)
class Linear(Probe):
    """The protocol of the papers' tables."""

    name: ClassVar[str] = "linear"

    def judge(self, contest: Contest) -> Result:
        """Accuracy after the last epoch, of every contender that a rate suits."""
        train = contest.readable(contest.train)
        rest, held = hold_back(train.labels, HELD_BACK, self.seed) if self.sweep else (None, None)
        fewer = train if rest is None else some(train, rest)
        found: dict[str, list[LinearScore]] = {}
        for contender in suited(self, contest):
            truth, lrs = self._judged(contest, contest.features(contender, contest.test)), self.lrs
            if held is not None:
                other = self._judged(contest, contest.features(contender, contest.train).at(held))
                lrs = (swept(lambda lrs, c=contender, o=other: self._fit(contest, c, fewer, o, lrs)),)  # type: ignore[misc]
            found[contender.name] = self._fit(contest, contender, train, truth, lrs)
        how = f"linear classifier on frozen features, {self.epochs} epochs of random crops of"
        return result(self, contest, found, how, sweep_words(self))

    def _fit(
        self, contest: Contest, contender: Contender, train: Labelled, judged: Judged, lrs: Sequence[float]
    ) -> list[LinearScore]:
        settings = replace(self, lrs=tuple(lrs))
        views = crop_views(contender.preprocess, self.seed)
        loader, module = contest.loader(train, views), contest.placement.put(contender.module)
        return linear(module, loader, views, train.labels, judged, len(train.classes), settings, contest.placement)

    def _judged(self, contest: Contest, found: Features) -> Judged:
        return Judged(torch.from_numpy(found.features).to(contest.placement.device), found.labels)


def suited(settings: Probe, contest: Contest) -> list[Contender]:
    """Those that have weights, whose features are of the size that rates near 30 are for; with a sweep, pixels too."""
    return [c for c in contest.contenders if c.learns or settings.sweep]


def result(
    settings: Probe, contest: Contest, found: Mapping[str, Sequence[LinearScore]], how: str, note: str
) -> Result:
    """The table of these scores; `how` is the title up to the number of training images."""
    known, judged = (len(contest.readable(side).labels) for side in (contest.train, contest.test))
    classes = len(contest.train.classes)
    names, formats = columns(settings, classes)
    best = {name: [score.best for score in scores] for name, scores in found.items()}
    return Result(
        protocol=settings.name,
        data=contest.data,
        title=f"{how} {known:,} images, judged on {judged:,} after the last epoch",
        columns=names,
        formats=formats,
        rows={name: cells(settings, scores, classes, judged) for name, scores in found.items()},
        settings=dataclasses.asdict(settings) | {"best_epoch": best},
        interval=wilson_words(judged),
        note=note,
    )


def sweep_words(settings: Probe) -> str:
    """How the rate was chosen."""
    if not settings.sweep:
        return ""
    return (
        f"each contender's rate was chosen on {HELD_BACK:.0%} of the training images that were held back; then its "
        "classifier was trained anew on all training images and judged once"
    )


def crop_views(preprocess: Preprocess, seed: int) -> Views:
    """The crops of the training images, at the encoder's size and normalisation."""
    recipe: Recipe = replace(
        v2(),
        query_view=CROPS,
        key_view=None,
        image_size=preprocess.size,
        normalize=preprocess.normalize,
        pixels=preprocess.pixels,
        seed=seed,
    )
    return Views(recipe, key=False)


def views_of(batch: Batch, views: Views, placement: Placement) -> Tensor:
    """The crops of a batch, float32 N x 3 x S x S, on the device."""
    pixels, fmt = batch.pixels.to(placement.device, non_blocking=True), placement.memory_format
    if batch.sizes is None:
        return views.finish(pixels, batch.index, batch.epoch, fmt)[0]
    return views(pixels, batch.sizes, batch.index, batch.epoch, fmt)[0]


def linear(
    backbone: nn.Module,
    loader: Loader,
    views: Views,
    labels: NDArray[np.int64],
    judged: Judged,
    classes: int,
    settings: Probe,
    placement: Placement,
) -> list[LinearScore]:
    """One score for each learning rate. `loader` gives the images that `labels` names, by position.

    Several processes take shares of each batch and exchange the features; where they do not divide it, each does all.
    Raises MocoError if any tensor of the backbone has changed, and AssertionError for labels outside the classes.
    """
    before = {name: value.detach().clone() for name, value in backbone.state_dict().items()}
    plan = Plan(len(labels), min(settings.batch, len(labels)), settings.epochs, settings.seed)
    shared = plan.batch % distributed.count() == 0
    own = replace(plan, process=distributed.number(), processes=distributed.count()) if shared else plan

    def features() -> Iterable[tuple[Tensor, NDArray[np.int64]]]:
        for step, batch in enumerate(loader.batches(own, 0)):
            x = views_of(batch, views, placement)
            with torch.no_grad(), placement.autocast():
                made: Tensor = backbone(x).float()
            yield distributed.gather(made) if shared else made, labels[plan.index(step)]

    backbone.eval()
    scores = classify(features(), len(labels), judged, classes, settings)
    changed = [name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        raise MocoError(
            f"the frozen encoder changed while the classifier was trained ({', '.join(changed[:3])}); a layer of it "
            "keeps state in eval mode, so its linear score would mean nothing"
        )
    return distributed.on_main(lambda: scores)
