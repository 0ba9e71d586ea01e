"""A fine-tuned model in use: an image to what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from moco.arguments import of_its_types
from moco.data.pillow_file import image_pixels
from moco.device import Placement
from moco.errors import MocoError
from moco.preprocess import decided
from moco.transfer.judging import classes_of, predict_one, tested
from moco.transfer.layouts.annotated import Annotated
from moco.transfer.metrics.predicted import Predicted
from moco.transfer.model_file import Fitted, read_model
from moco.transfer.parts.rcnn import RCNN
from moco.transfer.views import of_values


class Predictor:
    """Call it with an image: what is found, or the class of each pixel.

    `classes` are the names by number, `points` and `skeleton` those of keypoints; `model` is the module itself.
    """

    def __init__(self, fitted: Fitted, placement: Placement | None = None) -> None:
        cpu = Placement(torch.device("cpu"), False, False, torch.get_num_threads(), "")
        self.placement = placement or cpu
        self.fitted = fitted
        self.model = fitted.model
        self.placement.put(self.model).eval()
        self.classes, self.points, self.skeleton = fitted.words.classes, fitted.words.points, fitted.words.skeleton

    @property
    def task(self) -> str:
        """The name of the task it was fine-tuned for."""
        return self.fitted.trial.recipe.name

    def _values(self, image: PIL.Image.Image | NDArray[Any]) -> NDArray[Any]:
        """H x W x C as the model's images are; raises MocoError where the image is of other bands."""
        if self.fitted.pixels is not None:
            return decided(image, self.fitted.pixels)
        return np.array(image_pixels(image) if isinstance(image, PIL.Image.Image) else image)

    def __call__(self, image: PIL.Image.Image | NDArray[Any]) -> Predicted | NDArray[np.int64]:
        """Of a PIL image or an H x W x 3 uint8 array: boxes with scores, classes, masks and points in pixels of the
        image, the likeliest first; for a semantic task H x W class numbers. Of an encoder of other than photographs,
        of an array H x W x C of its bands and type.
        """
        x = of_values(self._values(image), self.fitted.pixels)
        sample = tested(self.fitted.trial.recipe, x)
        match self.model:
            case RCNN() as model:
                own = Annotated("", Path(), 0, x.shape[2], x.shape[1])
                return predict_one(model, 0, own, sample, self.fitted.normalize, self.placement)
            case model:
                found = classes_of(model, sample, self.fitted.normalize, self.placement)
                return found.numpy().astype(np.int64)


@of_its_types()
def load_transfer(path: str | os.PathLike[str]) -> Predictor:
    """The model of a run of `moco transfer` (or its model.pt, or the folder of all where there is one), on the CPU.

    Raises MocoError where there is none, or several to choose from.
    """
    return Predictor(read_model(model_path(path)))


def model_path(path: str | os.PathLike[str]) -> Path:
    """The file of the model that `path` names; raises MocoError."""
    place = Path(path).expanduser()
    if place.is_file():
        return place
    if (place / "model.pt").exists():
        return place / "model.pt"
    found = sorted(place.glob("*/model.pt"))
    if len(found) == 1:
        return found[0]
    if found:
        raise MocoError(f"{path} holds several models; name one: {', '.join(str(p.parent) for p in found)}")
    raise MocoError(
        f"{path} is no run of moco transfer: it has no model.pt, which is written with the first checkpoint"
    )
