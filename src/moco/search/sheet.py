"""A contact sheet: rows of small images, each with a word below it, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from moco.data.picture import picture_of
from moco.data.source import Source, Unreadable

TILE, CAPTION, HEAD, GAP = 96, 14, 18, 6
"""Pixels."""


@dataclass(frozen=True)
class Row:
    """A row of a sheet: what it shows, its images, each a position in a source, and a word for each."""

    title: str
    images: Sequence[tuple[Source, int]]
    words: Sequence[str]


def draw_sheet(file: BinaryIO, rows: Sequence[Row]) -> None:
    """Write the sheet; an image that cannot be read any more is a grey square. At least one row."""
    wide = max(len(row.images) for row in rows)
    width = max(wide * (TILE + GAP) + GAP, 420)
    height = len(rows) * (HEAD + TILE + CAPTION + GAP) + GAP
    sheet = PIL.Image.new("RGB", (width, height), "white")
    pen = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.load_default(size=11)
    y = GAP
    for row in rows:
        pen.text((GAP, y), _fitting(row.title, width // 6), fill="#3c4450", font=font)
        for place, ((source, i), word) in enumerate(zip(row.images, row.words, strict=True)):
            x = GAP + place * (TILE + GAP)
            tile = _tile(source, i)
            sheet.paste(tile, (x + (TILE - tile.width) // 2, y + HEAD + (TILE - tile.height) // 2))
            pen.text((x, y + HEAD + TILE), _fitting(word, TILE // 6), fill="#3c4450", font=font)
        y += HEAD + TILE + CAPTION + GAP
    sheet.save(file, "PNG", optimize=True)


def _fitting(words: str, letters: int) -> str:
    """The end of a long name, which tells more than its beginning; only what the font can draw."""
    plain = words.encode("latin-1", "replace").decode("latin-1")
    return plain if len(plain) <= letters else "..." + plain[-(letters - 3) :]


def _tile(source: Source, i: int) -> PIL.Image.Image:
    try:
        image = PIL.Image.fromarray(picture_of(source, i))
    except Unreadable:
        return PIL.Image.new("RGB", (TILE, TILE), "#c8c8c8")
    scale = TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    coarse = max(image.size) <= TILE // 2
    return image.resize(size, PIL.Image.Resampling.NEAREST if coarse else PIL.Image.Resampling.LANCZOS)
