"""The pictures of a report as one PNG each, for whoever takes pictures and no pages: loggers."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image

from moco.pages.pictures import Neighbours, ViewRow
from moco.pages.tiles import Tile

_SIDE, _GAP, _BETWEEN = 112, 6, 18


def view_sheet(rows: Sequence[ViewRow]) -> Image.Image:
    """Each image, then how it was seen as a query, then as a key: a row each."""
    return _sheet([[[row.image], row.queries, row.keys] for row in rows])


def neighbour_sheet(found: Neighbours) -> Image.Image:
    """Each image, then the most similar, the most similar first."""
    return _sheet([[[query], near] for query, near in found.rows])


def _sheet(rows: Sequence[Sequence[Sequence[Tile]]]) -> Image.Image:
    """Rows of groups of tiles, on white; groups stand apart."""
    places = [_places(row) for row in rows]
    wide = max((at[-1] + _SIDE for at in places if at), default=_SIDE)
    sheet = Image.new("RGB", (wide + 2 * _GAP, len(rows) * (_SIDE + _GAP) + _GAP), "white")
    for number, (row, at) in enumerate(zip(rows, places, strict=True)):
        for tile, x in zip((tile for group in row for tile in group), at, strict=True):
            picture = _picture(tile)
            left, top = (_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2
            sheet.paste(picture, (_GAP + x + left, _GAP + number * (_SIDE + _GAP) + top))
    return sheet


def _places(row: Sequence[Sequence[Tile]]) -> list[int]:
    at, places = 0, []
    for group in row:
        for _ in group:
            places.append(at)
            at += _SIDE + _GAP
        at += _BETWEEN - _GAP if group else 0
    return places


def _picture(tile: Tile) -> Image.Image:
    """The pixels of a tile; small ones larger, as squares."""
    image = Image.open(io.BytesIO(base64.b64decode(tile.picture.partition(",")[2]))).convert("RGB")
    scale = _SIDE / max(image.size)
    if scale <= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if tile.coarse else Image.Resampling.BILINEAR)
