"""Recipes of fine-tuning: the papers' tasks as frozen data. Standard library only, so that help stays fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from moco.errors import MocoError

RECIPE = "transfer.json"
"""The file in a run directory that says by what it was fine-tuned."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Faster, Mask or Keypoint R-CNN on the stages of a ResNet; numbers without another source are Detectron2's."""

    network: Literal["c4", "c5", "fpn"] = "c4"
    """c4: RoI features from stage 4, stage 5 and a BatchNorm as the head (v1, section 4.2); c5: dilated stage 5 (v1,
    A.1); fpn: a feature pyramid (v1, section 4.2)."""
    finds: Literal["boxes", "masks", "keypoints"] = "boxes"
    width: int | None = None
    """Channels of the pyramid and of the mask head; None: 256 for a ResNet of usual width, in proportion for others."""
    hidden: int | None = None
    """Width of the two fully connected layers behind c5 and fpn; None: 1024, in proportion."""
    anchors: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Sides of square anchors in pixels; fpn has one to a level."""
    before_nms: tuple[int, int] = (12000, 6000)
    """Proposals (of each level) that suppression sees, in training and when judged."""
    after_nms: tuple[int, int] = (2000, 1000)
    """Proposals of an image that it leaves."""
    rois: int = 512
    """Regions of an image that the head learns from, a quarter of them of things."""
    beta: float = 0.0
    """Where the smooth L1 loss of boxes becomes linear; 0: everywhere."""
    least_score: float = 0.05
    """What is found with a lower score is left out."""
    most_found: int = 100
    """Things that are found in an image at most."""


@dataclass(frozen=True, kw_only=True)
class FCN:
    """FCN-16s (v1, A.5): stage 5 dilated by 2, two 3x3 convolutions with BatchNorm, and a classifier of each point."""

    width: int | None = None
    """Channels of the two convolutions; None: 256 for a ResNet of usual width, in proportion for others."""
    dilation: int = 6
    """Of the two convolutions."""


@dataclass(frozen=True, kw_only=True)
class Resized:
    """Whole images with their shorter side resized to one of `short`, half of them mirrored."""

    short: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    longest: int = 1333
    """The longer side never exceeds this."""
    test: int = 800
    """The shorter side when judged."""
    mirror: bool = True


@dataclass(frozen=True, kw_only=True)
class Cropped:
    """A square out of an image that was scaled by a drawn factor, half of them mirrored; judged at original size."""

    scale: tuple[float, float] = (0.5, 2.0)
    size: int = 513
    mirror: bool = True


@dataclass(frozen=True, kw_only=True)
class Descent:
    """SGD; the rate is that of a batch of `per` images, and follows the batch in proportion."""

    lr: float = 0.02
    per: int = 16
    momentum: float = 0.9
    weight_decay: float = 1e-4
    norm_decay: float = 0.0
    """Weight decay of BatchNorm's parameters; Detectron2 has none."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The length in steps, and the shares of it after which the rate falls to a tenth."""

    steps: int = 24_000
    at: tuple[float, ...] = (3 / 4, 11 / 12)
    factor: float = 0.1
    warmup: int = 100
    """Steps in which the rate rises from a thousandth, and never more than a tenth of the length."""

    def rate(self, step: int) -> float:
        """The share of the full rate at a step, counted from 0."""
        warmup = min(self.warmup, self.steps // 10)
        rising = min(1.0, 0.001 + 0.999 * step / warmup) if warmup else 1.0
        return rising * self.factor ** sum(step >= round(share * self.steps) for share in self.at)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """All that decides what fine-tuning learns, but for its images, its start and its seed."""

    name: str
    layout: Literal["voc", "voc-masks", "coco", "keypoints", "lvis", "cityscapes", "cityscapes-masks", "folder-masks"]
    """How images and their annotations lie on disk."""
    metric: Literal["voc", "coco", "lvis", "cityscapes", "iou"]
    """By whose rules it is judged."""
    parts: Regions | FCN
    views: Resized | Cropped
    optim: Descent
    schedule: Schedule
    batch: int = 16
    norm_group: int | None = None
    """Images that share BatchNorm's statistics, and are on the device together; None: the whole batch, as SyncBN."""
    precise_norm: int = 200
    """Batches over which BatchNorm's statistics are computed again before it is judged, but no more than a tenth of the
    steps; 0: the running ones are taken."""
    freeze_norm: bool = False
    """BatchNorm keeps the statistics and parameters of the start: the supervised row of LVIS (v1, A.4)."""
    repeat: float = 0.0
    """Images of categories in fewer than this share of images are shown more often (LVIS, arXiv:1908.03195); 0: not."""

    @property
    def group(self) -> int:
        """Images that share BatchNorm's statistics."""
        return self.norm_group or self.batch

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.optim.lr * self.batch / self.optim.per * self.schedule.rate(step)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise MocoError(f"--batch {self.batch}: must be at least 1")
        if self.group < 1 or self.batch % self.group:
            raise MocoError(f"--norm-group {self.group}: a batch of {self.batch} does not divide into such groups")
        if self.precise_norm < 0:
            raise MocoError(f"--precise-norm {self.precise_norm}: must be 0 or more")
        if self.schedule.steps < 1:
            raise MocoError(f"--schedule.steps {self.schedule.steps}: must be at least 1")
        if not self.optim.lr > 0:
            raise MocoError(f"--optim.lr {self.optim.lr}: must be positive")
        match self.views:
            case Resized(short=short, longest=longest, test=test):
                if not short or min(*short, test) < 16 or longest < max(*short, test):
                    raise MocoError(
                        f"--views.short {' '.join(map(str, short))}, --views.test {test}: sides of 16 pixels and more, "
                        f"and no more than --views.longest {longest}"
                    )
            case Cropped(size=size, scale=scale):
                if size < 16 or not 0 < scale[0] <= scale[1]:
                    raise MocoError(f"--views.size {size}, --views.scale {scale}: 16 pixels or more, rising factors")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fine-tuning: a recipe from one start, with one share of the labels and one seed."""

    recipe: Transfer
    start: str
    labels: float = 1.0
    seed: int = 0


def detect_voc() -> Transfer:
    """VOC detection, Faster R-CNN R50-C4, 24k steps (v1, section 4.2.1); --parts.network c5 for dilated C5."""
    return Transfer(
        name="detect-voc",
        layout="voc",
        metric="voc",
        parts=Regions(),
        views=Resized(),
        optim=Descent(),
        schedule=Schedule(),
    )


def detect_coco() -> Transfer:
    """COCO detection and instances, Mask R-CNN R50-FPN, 1x: 90k steps (v1, section 4.2.2)."""
    return Transfer(
        name="detect-coco",
        layout="coco",
        metric="coco",
        parts=Regions(network="fpn", finds="masks", before_nms=(2000, 1000), after_nms=(1000, 1000)),
        views=Resized(short=(640, 672, 704, 736, 768, 800)),
        optim=Descent(),
        schedule=Schedule(steps=90_000, at=(2 / 3, 8 / 9), warmup=1000),
    )


def detect_coco_2x() -> Transfer:
    """The same for 180k steps."""
    return replace(detect_coco(), name="detect-coco-2x", schedule=replace(detect_coco().schedule, steps=180_000))


def detect_coco_6x() -> Transfer:
    """The same for 540k steps, with the rate falling late."""
    late = Schedule(steps=540_000, at=(8 / 9, 26 / 27), warmup=1000)
    return replace(detect_coco(), name="detect-coco-6x", schedule=late)


def detect_coco_c4() -> Transfer:
    """COCO with Mask R-CNN R50-C4, 1x; --schedule.steps 180000 is 2x."""
    parts = Regions(network="c4", finds="masks")
    return replace(detect_coco(), name="detect-coco-c4", parts=parts)


def keypoints() -> Transfer:
    """COCO keypoints, Keypoint R-CNN R50-FPN, 2x (v1, A.2); any skeleton."""
    parts = Regions(network="fpn", finds="keypoints", before_nms=(2000, 1000), after_nms=(1500, 1000), beta=0.5)
    return replace(detect_coco_2x(), name="keypoints", layout="keypoints", parts=parts)


def instance_lvis() -> Transfer:
    """LVIS, Mask R-CNN R50-FPN, 2x, rare ones shown more often (v1, A.4); --freeze-norm for the supervised row."""
    found = Regions(
        network="fpn",
        finds="masks",
        before_nms=(2000, 1000),
        after_nms=(1000, 1000),
        least_score=1e-4,
        most_found=300,
    )
    return replace(detect_coco_2x(), name="instance-lvis", layout="lvis", metric="lvis", parts=found, repeat=0.001)


def instance_cityscapes() -> Transfer:
    """Cityscapes instances, Mask R-CNN R50-FPN, 24k steps of 8 images (Detectron2's configuration)."""
    return replace(
        detect_coco(),
        name="instance-cityscapes",
        layout="cityscapes",
        metric="cityscapes",
        views=Resized(short=(800, 832, 864, 896, 928, 960, 992, 1024), longest=2048, test=1024),
        optim=Descent(lr=0.01, per=8),
        schedule=Schedule(steps=24_000, at=(3 / 4,), warmup=1000),
        batch=8,
    )


def segment_voc() -> Transfer:
    """VOC semantic segmentation, FCN-16s, 30k steps (v1, A.5)."""
    return Transfer(
        name="segment-voc",
        layout="voc-masks",
        metric="iou",
        parts=FCN(),
        views=Cropped(),
        optim=Descent(lr=0.003, norm_decay=1e-4),
        schedule=Schedule(steps=30_000, at=(0.7, 0.9), warmup=0),
        precise_norm=0,
    )


def segment_cityscapes() -> Transfer:
    """Cityscapes semantic segmentation, FCN-16s, 90k steps, crops of 769 (v1, A.5)."""
    return replace(
        segment_voc(),
        name="segment-cityscapes",
        layout="cityscapes-masks",
        views=Cropped(size=769),
        optim=Descent(lr=0.01, norm_decay=1e-4),
        schedule=Schedule(steps=90_000, at=(0.7, 0.9), warmup=0),
    )


def segment() -> Transfer:
    """Any folder of images and label masks, FCN-16s as for VOC."""
    return replace(segment_voc(), name="segment", layout="folder-masks")


TASKS: dict[str, Callable[[], Transfer]] = {
    "detect-voc": detect_voc,
    "detect-coco": detect_coco,
    "detect-coco-2x": detect_coco_2x,
    "detect-coco-6x": detect_coco_6x,
    "detect-coco-c4": detect_coco_c4,
    "keypoints": keypoints,
    "instance-lvis": instance_lvis,
    "instance-cityscapes": instance_cityscapes,
    "segment-voc": segment_voc,
    "segment-cityscapes": segment_cityscapes,
    "segment": segment,
}
"""name: the recipe of that name."""
