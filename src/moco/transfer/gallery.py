"""Test images with what is true and what each start finds, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from moco.data.picture import picture
from moco.data.source import Unreadable
from moco.run.atomic import trouble_is_told
from moco.transfer.drawing import SHOWN, beside, draw_classes, draw_found, true_things
from moco.transfer.layouts.annotated import Part
from moco.transfer.metrics.predicted import Predicted
from moco.transfer.model_file import read_model
from moco.transfer.predictor import Predictor
from moco.transfer.views import read_labels, read_values

PICTURES = 6


def write_gallery(folder: Path, part: Part, models: Sequence[tuple[str, Path]], device: str = "cpu") -> list[Path]:
    """Write a PNG for each of some test images, evenly spread: truth, then what each model (name, file) finds."""
    places = np.unique(np.linspace(0, len(part.images) - 1, min(PICTURES, len(part.images))).astype(int))
    predictors = [(name, Predictor(read_model(path))) for name, path in models]
    with trouble_is_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place in places.tolist():
        image = part.images[place]
        try:
            values = [read_values(image, predictor.fitted.pixels) for _, predictor in predictors]
            pixels = picture(values[0]) if values else read_values(image, None)
            pictures = [_truth(part, place, pixels)]
        except Unreadable:
            continue
        for (_, predictor), own in zip(predictors, values, strict=True):
            found = predictor(own)
            drawn = draw_found(pixels, found, part) if isinstance(found, Predicted) else draw_classes(pixels, found)
            pictures.append(drawn)
        row = beside(pictures, ["annotated", *(name for name, _ in predictors)])
        path = folder / f"{place:05d}.png"
        with trouble_is_told(path):
            row.save(path)
        written.append(path)
    return written


def _truth(part: Part, place: int, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    image = part.images[place]
    if image.mask is not None:
        return draw_classes(pixels, read_labels(part, image).numpy().astype(np.int64))
    return draw_found(pixels, true_things(image), part, SHOWN, scores=False)
