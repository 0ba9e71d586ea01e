"""Predictions on disk: one line of JSON for each image, written as they are made, read when they are judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.errors import MocoError


@dataclass(frozen=True)
class Predicted:
    """What was found in one image, in its own pixels, the likeliest first."""

    image: int
    """Its position among the images."""
    boxes: NDArray[np.float64]
    """M x 4: left, top, right, bottom."""
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    masks: list[dict[str, Any]] | None = None
    """Run lengths, one for each."""
    points: NDArray[np.float64] | None = None
    """M x K x 3: x, y and a score."""

    def line(self) -> str:
        """As JSON, with as many digits as judging can tell apart."""
        content: dict[str, Any] = {
            "image": self.image,
            "boxes": self.boxes.round(3).tolist(),
            "scores": [float(f"{score:.7g}") for score in self.scores],
            "labels": self.labels.tolist(),
        }
        if self.masks is not None:
            content["masks"] = self.masks
        if self.points is not None:
            content["points"] = self.points.round(3).tolist()
        return json.dumps(content)


def read_predicted(files: list[Path]) -> Iterator[Predicted]:
    """What the files hold, in the order of the images; raises MocoError where a line is damaged."""
    lines: list[tuple[int, str]] = []
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            try:
                lines.append((int(json.loads(line)["image"]), line))
            except (ValueError, KeyError, TypeError):
                raise MocoError(f"{file}, line {number}, is damaged; delete the file and judge again") from None
    for _, line in sorted(lines, key=lambda one: one[0]):
        content = json.loads(line)
        points = content.get("points")
        yield Predicted(
            content["image"],
            np.array(content["boxes"], dtype=np.float64).reshape(-1, 4),
            np.array(content["scores"], dtype=np.float64),
            np.array(content["labels"], dtype=np.int64),
            content.get("masks"),
            None if points is None else np.array(points or np.empty((0, 0, 3)), dtype=np.float64),
        )
