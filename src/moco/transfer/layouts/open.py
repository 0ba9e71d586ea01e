"""Which function reads which layout: a layout is a file here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Part
from moco.transfer.layouts.cityscapes import read_cityscapes, read_cityscapes_masks
from moco.transfer.layouts.coco import read_coco, read_keypoints, read_lvis
from moco.transfer.layouts.masks import read_masks
from moco.transfer.layouts.voc import read_voc, read_voc_masks

LAYOUTS: dict[str, Callable[[Path, str | None, str | None], tuple[Part, Part]]] = {
    "voc": read_voc,
    "voc-masks": read_voc_masks,
    "coco": read_coco,
    "keypoints": read_keypoints,
    "lvis": read_lvis,
    "cityscapes": read_cityscapes,
    "cityscapes-masks": read_cityscapes_masks,
    "folder-masks": read_masks,
}


def open_parts(layout: str, data: Path, train: str | None, test: str | None) -> tuple[Part, Part]:
    """(train, test) of a data set in a layout of the table; raises MocoError where it is none, or a part is empty."""
    if not data.is_dir():
        raise MocoError(f"--data {data}: there is no such folder")
    parts = LAYOUTS[layout](data, train, test)
    for part, flag in zip(parts, ("train", "test"), strict=True):
        if not part.images:
            why = f" ({part.complaints[0]})" if part.complaints else ""
            raise MocoError(f"--data {data}: no image is left to {flag} with{why}".replace("\t", ": "))
    return parts
