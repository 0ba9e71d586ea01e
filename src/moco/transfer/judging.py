"""Judging: what a model finds on test images, streamed to disk, and the field's own metrics of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transform

from moco import distributed
from moco.data.source import Unreadable
from moco.data.workers import from_workers
from moco.device import Placement
from moco.errors import MocoError
from moco.recipe import Normalize
from moco.run.atomic import trouble_is_told
from moco.transfer.layouts.annotated import Annotated, Part
from moco.transfer.layouts.outlines import packed
from moco.transfer.metrics.cityscapes import cityscapes_precision
from moco.transfer.metrics.coco import average_precision
from moco.transfer.metrics.iou import confusion, mean_iou
from moco.transfer.metrics.predicted import Predicted, read_predicted
from moco.transfer.metrics.voc import voc_precision
from moco.transfer.parts.fcn import FullyConvolutional
from moco.transfer.parts.masks import pasted
from moco.transfer.parts.rcnn import RCNN
from moco.transfer.parts.values import Found
from moco.transfer.recipe import Regions, Resized, Transfer
from moco.transfer.tuning import Model, canvas_of
from moco.transfer.views import fitted, read_labels, read_pixels


@dataclass(frozen=True)
class Judge:
    """The test images, and by whose rules a model is judged on them."""

    recipe: Transfer
    part: Part
    normalize: Normalize
    placement: Placement
    workers: int
    folder: Path
    """Where predictions are streamed to."""

    def __call__(self, model: Model) -> dict[str, float]:
        """The metrics, on all processes; raises MocoError where a test image cannot be read."""
        model.eval()
        try:
            match model:
                case RCNN():
                    return self._found(model)
                case FullyConvolutional():
                    return self._classes(model)
        finally:
            model.train()

    def _found(self, model: RCNN) -> dict[str, float]:
        own = self.folder / f"part-{distributed.number()}.jsonl"
        distributed.on_main(lambda: self.folder.mkdir(parents=True, exist_ok=True))
        with trouble_is_told(own), own.open("w", encoding="utf-8") as file:
            for one in self.predicted(model):
                file.write(one.line() + "\n")
        distributed.meet()
        files = [self.folder / f"part-{i}.jsonl" for i in range(distributed.count())]
        return distributed.on_main(lambda: self._judged(files))

    def _judged(self, files: list[Path]) -> dict[str, float]:
        predicted = list(read_predicted(files))
        assert isinstance(self.recipe.parts, Regions)
        match self.recipe.metric:
            case "voc":
                return voc_precision(self.part, predicted)
            case "cityscapes":
                return cityscapes_precision(self.part, predicted)
            case "lvis":
                return average_precision(self.part, predicted, lvis=True, most=self.recipe.parts.most_found)
            case _:
                return average_precision(self.part, predicted)

    def predicted(self, model: RCNN) -> Iterator[Predicted]:
        """What is found in this process's share of the images, one after the other."""
        for i, image, sample in self._own():
            if isinstance(self.recipe.views, Resized):
                yield predict_one(model, i, image, sample, self.normalize, self.placement)

    def _classes(self, model: FullyConvolutional) -> dict[str, float]:
        counts = np.zeros((len(self.part.classes),) * 2, dtype=np.int64)
        for _, image, sample in self._own():
            try:
                truth = read_labels(self.part, image).numpy().astype(np.int64)
            except Unreadable as error:
                raise MocoError(f"{image.name} is to be judged, but {error.reason}") from None
            found = classes_of(model, sample, self.normalize, self.placement)
            counts += confusion(truth, found.numpy().astype(np.int64), len(self.part.classes))
        whole = sum(distributed.joined([counts]), np.zeros_like(counts))
        return mean_iou(whole, self.part.classes)

    def _own(self) -> Iterator[tuple[int, Annotated, Tensor]]:
        places = list(range(distributed.number(), len(self.part.images), distributed.count()))
        dataset = _Tests(self.recipe, self.part.images, places)
        for i, sample in zip(places, from_workers(dataset, self.workers), strict=True):
            if isinstance(sample, str):
                raise MocoError(f"{self.part.images[i].name} is to be judged, but {sample}")
            yield i, self.part.images[i], sample


class _Tests(Dataset["Tensor | str"]):
    """Test images as the model sees them (uint8, 3 x H x W), or why one cannot be read."""

    def __init__(self, recipe: Transfer, images: Sequence[Annotated], places: Sequence[int]) -> None:
        self._recipe, self._images, self._places = recipe, images, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, item: int) -> Tensor | str:
        try:
            return tested(self._recipe, read_pixels(self._images[self._places[item]]))
        except Unreadable as error:
            return error.reason


def tested(recipe: Transfer, pixels: Tensor) -> Tensor:
    """An image (uint8, 3 x H x W) as it is judged: resized to the test size, or as it is for a semantic task."""
    match recipe.views:
        case Resized(test=short, longest=longest):
            size = fitted(pixels.shape[1], pixels.shape[2], short, longest)
            resized: Tensor = transform.resize(pixels, list(size), antialias=True)
            return resized
        case _:
            return pixels


def predict_one(
    model: RCNN, i: int, image: Annotated, sample: Tensor, normalize: Normalize, placement: Placement
) -> Predicted:
    """What is found in one image, in its own pixels."""
    height, width = sample.shape[1:]
    room = torch.zeros((1, len(sample), -(-height // 32) * 32, -(-width // 32) * 32), dtype=sample.dtype)
    room[0, :, :height, :width] = sample
    with torch.no_grad(), placement.autocast():
        found = model.find(canvas_of(room, [(height, width)], normalize, placement))[0]
    return _in_own_pixels(i, found, image.width, image.height, (image.width / width, image.height / height))


def _in_own_pixels(i: int, found: Found, width: int, height: int, stretch: tuple[float, float]) -> Predicted:
    boxes = found.boxes.float().cpu() * torch.tensor([*stretch, *stretch])
    masks = points = None
    if found.masks is not None:
        masks = []
        for mask, box in zip(found.masks.float().cpu(), boxes, strict=True):  # one whole picture in memory at a time
            masks.append(packed(pasted(mask[None], box[None], (height, width))[0].numpy()))
    if found.points is not None:
        placed = found.points.float().cpu() * torch.tensor([*stretch, 1.0])
        points = placed.double().numpy()
    return Predicted(
        i,
        boxes.double().numpy(),
        found.scores.double().cpu().numpy(),
        found.labels.cpu().numpy(),
        masks,
        points,
    )


def classes_of(model: FullyConvolutional, sample: Tensor, normalize: Normalize, placement: Placement) -> Tensor:
    """H x W: the likeliest class of each pixel."""
    canvas = canvas_of(sample[None], [(sample.shape[1], sample.shape[2])], normalize, placement)
    with torch.no_grad(), placement.autocast():
        scores: Tensor = model(canvas.pixels)
    return scores[0].argmax(0).cpu()
