"""Masks of things as COCO writes them: polygons, or run lengths down the columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.transfer.extra import from_extra


def trouble(outline: Any, width: int, height: int) -> str | None:
    """What is wrong with an outline for an image of this size; None where nothing is."""
    match outline:
        case list() if not outline:
            return "the mask is empty"
        case list():
            for polygon in outline:
                if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                    return "a polygon of the mask has fewer than three points, or half a point"
                if not all(isinstance(v, int | float) for v in polygon):
                    return "a polygon of the mask is not made of numbers"
            return None
        case {"size": [h, w], "counts": counts}:
            if (w, h) != (width, height):
                return f"the mask is of {w} x {h} pixels, its image of {width} x {height}"
            try:
                runs = counts if isinstance(counts, list) else _runs(counts)
                total = sum(runs)
            except (ValueError, IndexError, TypeError):
                return "the run lengths of the mask are damaged"
            return None if total == w * h else f"the run lengths cover {total:,} pixels, its image has {w * h:,}"
        case _:
            return f"the mask is neither polygons nor run lengths ({type(outline).__name__})"


def rle(outline: Any, width: int, height: int) -> dict[str, Any]:
    """The outline as compressed run lengths."""
    masks = from_extra("faster_coco_eval.core.mask")
    if isinstance(outline, list):
        merged: dict[str, Any] = masks.merge(masks.frPyObjects(outline, height, width))
        return merged
    if isinstance(outline["counts"], list):
        packed: dict[str, Any] = masks.frPyObjects(outline, height, width)
        return packed
    return {"size": outline["size"], "counts": outline["counts"]}


def pixels(outlines: list[Any], width: int, height: int) -> NDArray[np.uint8]:
    """N x H x W of zeros and ones."""
    if not outlines:
        return np.zeros((0, height, width), dtype=np.uint8)
    masks = from_extra("faster_coco_eval.core.mask")
    stacked = masks.decode([rle(outline, width, height) for outline in outlines])
    return np.ascontiguousarray(np.moveaxis(stacked, -1, 0))


def packed(mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Run lengths of an H x W mask, as a JSON file takes them."""
    found = from_extra("faster_coco_eval.core.mask").encode(np.asfortranarray(mask))
    counts = found["counts"]
    return {"size": list(found["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def _runs(text: str) -> list[int]:
    """The numbers in a string of COCO: six bits a character from '0' on, differences to the run before the last."""
    runs: list[int] = []
    at, data = 0, text.encode() if isinstance(text, str) else bytes(text)
    while at < len(data):
        value, shift, more = 0, 0, True
        while more:
            bits = data[at] - 48
            if not 0 <= bits < 64:
                raise ValueError(text)
            value |= (bits & 31) << shift
            more = bool(bits & 32)
            at, shift = at + 1, shift + 5
            if not more and bits & 16:
                value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    if any(run < 0 for run in runs):
        raise ValueError(text)
    return runs
