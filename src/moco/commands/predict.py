"""`moco predict`: what a fine-tuned model finds in images, drawn and written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from moco.commands.tell import Silent, Teller
from moco.data.decode import decode
from moco.data.names import number_of, one_line
from moco.data.open import open_source
from moco.data.picture import picture
from moco.data.seen import seen
from moco.data.source import Unreadable
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.atomic import trouble_is_told
from moco.run.directory import refuse_unwritable
from moco.transfer.drawing import SHOWN, draw_classes, draw_found
from moco.transfer.metrics.predicted import Predicted
from moco.transfer.model_file import read_model
from moco.transfer.predictor import Predictor, model_path

Name = str | os.PathLike[str]


def predict(
    run: Name,
    data: Name,
    out: Name,
    *,
    least: float = SHOWN,
    draw: bool = True,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> Path:
    """Write what the model of `run` finds in `data` into the folder `out`: its path.

    `found.json` is COCO's JSON with a score for each annotation; a semantic task writes `masks/*.png`, one number for
    each pixel. `drawn/` shows what has a score of at least `least`. Raises MocoError where nothing can be read.
    """
    out, tell = Path(out), tell or Silent()
    if not 0 <= least <= 1:
        raise MocoError(f"--least {least}: a score between 0 and 1")
    predictor = Predictor(read_model(model_path(run)), place(machine or Machine()))
    source = open_source(data)
    images = seen(source, predictor.fitted.pixels)
    refuse_unwritable(out)
    counting = tell.reading("images", len(source))
    written = _Written(out, predictor, draw, least)
    unreadable = 0
    with written:
        for i in range(len(source)):
            name = source.name(i)
            try:
                values = decode(images.raw(i))
            except Unreadable as error:
                unreadable += 1
                tell.note(f"{one_line(name)} cannot be read ({error.reason}) and is left out")
                continue
            written.add(name, picture(values), predictor(values))
            counting(i + 1)
    if unreadable == len(source):
        raise MocoError(f"none of the {len(source)} images can be read")
    tell.note(f"{out}: {written.words()}")
    return out


class _Written:
    """Files that grow with each image, so that nothing but the image at hand is in memory."""

    def __init__(self, out: Path, predictor: Predictor, draw: bool, least: float) -> None:
        self._out, self._predictor, self._draw, self._least = out, predictor, draw, least
        self._names: list[dict[str, Any]] = []
        self._things = 0
        self._file: IO[str] | None = None

    def __enter__(self) -> _Written:
        with trouble_is_told(self._out):
            for folder in (self._out, *([self._out / "drawn"] if self._draw else [])):
                folder.mkdir(parents=True, exist_ok=True)
        return self

    def add(self, name: str, pixels: np.ndarray[Any, np.dtype[np.uint8]], found: Predicted | Any) -> None:
        """One more image."""
        number = len(self._names) + 1
        self._names.append({"id": number, "file_name": name, "width": pixels.shape[1], "height": pixels.shape[0]})
        stem = f"{number:06d}-{Path(name).stem}"
        if isinstance(found, Predicted):
            self._write_things(number, found)
            picture = draw_found(pixels, found, self._predictor.fitted.words, self._least)
        else:
            with trouble_is_told(self._out):
                (self._out / "masks").mkdir(exist_ok=True)
                Image.fromarray(found.astype(np.uint8)).save(self._out / "masks" / f"{stem}.png")
            picture = draw_classes(pixels, found)
        if self._draw:
            with trouble_is_told(self._out):
                picture.save(self._out / "drawn" / f"{stem}.png")

    def _write_things(self, image: int, found: Predicted) -> None:
        with trouble_is_told(self._out):
            if self._file is None:
                self._file = (self._out / "found.json").open("w", encoding="utf-8")
                self._file.write('{"annotations": [')
            for i in range(len(found.scores)):
                x0, y0, x1, y1 = (round(float(v), 2) for v in found.boxes[i])
                self._things += 1
                thing: dict[str, Any] = {
                    "id": self._things,
                    "image_id": image,
                    "category_id": int(found.labels[i]) + 1,
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "area": round((x1 - x0) * (y1 - y0), 2),
                    "iscrowd": 0,
                    "score": float(f"{found.scores[i]:.6g}"),
                }
                if found.masks is not None:
                    thing["segmentation"] = found.masks[i]
                if found.points is not None:
                    thing["keypoints"] = [round(float(v), 2) for v in found.points[i].ravel()]
                    thing["num_keypoints"] = len(found.points[i])
                self._file.write(("" if self._things == 1 else ",") + "\n" + json.dumps(thing))

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        words = self._predictor
        skeleton = [[a + 1, b + 1] for a, b in words.skeleton]
        pose = {"keypoints": list(words.points), "skeleton": skeleton} if words.points else {}
        categories = [{"id": i, "name": name, **pose} for i, name in enumerate(words.classes, 1)]
        with trouble_is_told(self._out), self._file as file:
            rest = json.dumps({"images": self._names, "categories": categories})
            file.write(f"\n], {rest[1:]}\n")

    def words(self) -> str:
        """What was written."""
        images, things = number_of(len(self._names), "image"), number_of(self._things, "thing")
        what = f"{things} in {images} (found.json)" if self._file else f"classes of {images} (masks/)"
        return what + (", drawn in drawn/" if self._draw else "")
