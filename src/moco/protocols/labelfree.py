"""Scores that need no labels: how many directions the features use, and whether views of an image agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from moco import distributed
from moco.data.cutting import read_or_next
from moco.data.seen import seen
from moco.data.source import sample
from moco.errors import MocoError
from moco.ops.scores import alignment, effective_rank, lidar, spread, uniformity
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest
from moco.protocols.interval import t_interval
from moco.protocols.result import Cell, Result
from moco.recipe import Pixels, Recipe, v2
from moco.two_views import Views

COLUMNS = ("numbers", "effective rank", "LiDAR", "alignment", "uniformity", "spread")
READING = (
    "numbers: length of a feature; effective rank and LiDAR: directions in use, 1 is a collapse; "
    "alignment: 0 where two views of an image agree; uniformity: the lower the more evenly spread, 0 in one point; "
    "spread: from 0 (one point) to 1 (even)"
)
_EPOCH = 1 << 41
"""The first epoch whose views are drawn: one that no training reaches."""
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class LabelFree:
    """The protocol. Effective rank, uniformity and spread are of centre crops, LiDAR and alignment of views."""

    name: ClassVar[str] = "labelfree"
    prefix: ClassVar[str] = "labelfree"
    needs_labels: ClassVar[bool] = False

    images: int = 1000
    """Evenly spread over the source; no rank exceeds their number."""
    views: int = 10
    """Of each image, for LiDAR; an even number: half of them as queries, half as keys."""
    features: tuple[Literal["backbone", "head"], ...] = ("backbone",)

    def __post_init__(self) -> None:
        if self.images < 2:
            raise MocoError(f"--labelfree-images {self.images}: must be at least 2")
        if self.views < 2 or self.views % 2:
            raise MocoError(f"--labelfree-views {self.views}: an even number from 2 on")
        if not self.features:
            raise MocoError("--labelfree-features: name at least one")

    def judge(self, contest: Contest) -> Result:
        """The main process does it; a thousand images are few."""
        return distributed.main_alone(lambda: self._judge(contest))

    def _judge(self, contest: Contest) -> Result:
        index = sample(contest.images, self.images)
        if len(index) < 2:
            raise MocoError(f"{contest.images.description}: scores of features need at least two images")
        trained = contest.contenders[0].recipe
        rows = {row.name: row for contender in contest.contenders for row in self._rows(contender)}
        for some in np.array_split(index, -(-len(index) // _AT_ONCE)):
            cut: Cut = {}
            for row in rows.values():
                row.see(contest, some, trained or v2(), self.views, cut)
        return Result(
            protocol=self.name,
            data=contest.data,
            title=f"scores without labels, of {len(index):,} images and {self.views} views of each "
            f"({'the views of its recipe' if trained else 'the views of MoCo v2'})",
            columns=list(COLUMNS),
            formats=["number"] * len(COLUMNS),
            rows={name: row.cells() for name, row in rows.items()},
            settings=dataclasses.asdict(self),
            interval=f"95 % t interval of the mean of {len(index):,} images (alignment); the other scores have none",
            note=READING,
        )

    def _rows(self, contender: Contender) -> Iterator[_Row]:
        kinds = [kind for kind in self.features if kind == "backbone" or contender.whole is not None]
        for kind in kinds or ["backbone"]:
            if kind == "head" and contender.whole is not None:
                yield _Row(f"{contender.name}, head", contender, contender.whole)
            else:
                yield _Row(contender.name, contender, contender.module)


Cut = dict[tuple[int, Pixels | None], tuple[Tensor, Tensor]]
"""Middles and crops of some images, for each size and each way of seeing them."""


@dataclass
class _Row:
    """A contender's features, as they come in."""

    name: str
    contender: Contender
    module: nn.Module
    centres: list[Tensor] = field(default_factory=list)
    views: list[Tensor] = field(default_factory=list)
    """n x views x D, query and key by turns."""

    def see(
        self,
        contest: Contest,
        index: NDArray[np.int64],
        recipe: Recipe,
        views: int,
        cut: Cut,
    ) -> None:
        """Embed some images; `cut` keeps their pixels for contenders that see them alike."""
        preprocess, device = self.contender.preprocess, contest.placement.device
        made_of = {"normalize": preprocess.normalize, "pixels": preprocess.pixels}
        cutter = Views(replace(recipe, image_size=preprocess.size, **made_of))  # type: ignore[arg-type]
        if (key := (preprocess.size, preprocess.pixels)) not in cut:
            source = seen(contest.images, preprocess.pixels)
            images = [read_or_next(source, int(i), {}) for i in index]
            cut[key] = (
                torch.stack([preprocess.centre(image) for image in images]),
                torch.stack(
                    [
                        torch.stack([cutter.cut(image, _EPOCH + e, int(i)) for e in range(views // 2)])
                        for i, image in zip(index, images, strict=True)
                    ]
                ),
            )
        centres, crops = cut[key]
        self.centres.append(self._embed(contest, preprocess.normalise(centres.to(device))))
        features = []
        for e in range(views // 2):
            pair = cutter.finish(crops[:, e].to(device), index, _EPOCH + e, contest.placement.memory_format)
            features += [self._embed(contest, x) for x in pair]
        self.views.append(torch.stack(features, dim=1))

    @torch.no_grad()
    def _embed(self, contest: Contest, x: Tensor) -> Tensor:
        placement, module = contest.placement, self.module
        placement.put(module).eval()
        with placement.autocast():
            features: Tensor = module(x.contiguous(memory_format=placement.memory_format))
        return features.float().cpu()

    def cells(self) -> list[Cell]:
        """The scores, in the order of COLUMNS."""
        centres, views = torch.cat(self.centres), torch.cat(self.views)
        if not (centres.isfinite().all() and views.isfinite().all()):
            raise MocoError(f"{self.name} gives features that are not finite; is it trained?")
        unit, pair = F.normalize(centres, dim=1), F.normalize(views[:, :2], dim=2)
        distances = [float(alignment(one[:1], one[1:])) for one in pair]
        return [
            Cell(centres.shape[1]),
            Cell(float(effective_rank(centres))),
            Cell(float(lidar(views))),
            Cell(float(np.mean(distances)), None, t_interval(distances)),
            Cell(float(uniformity(unit))),
            Cell(float(spread(unit))),
        ]
