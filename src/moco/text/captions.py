"""Images with captions: which source of images says what about each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.listing import PATH_COLUMNS, Listing, table_of
from moco.data.names import number_of, printable
from moco.data.opened import Opened
from moco.data.shards import Shards
from moco.data.source import Hints, Source, native
from moco.errors import MocoError
from moco.ops import draw

CAPTION_COLUMNS = ("caption", "text", "title", "description")
_FIELDS = ("caption", "text")
"""Of the .json beside an image in a shard."""
_TAKES = "image-text takes a .csv or .tsv with columns path and caption, or shards with a .txt or .json beside images"


@dataclass(frozen=True)
class Captions:
    """Images that have a caption, with it, and what there is to say about the others."""

    source: Source
    texts: list[str]
    lines: list[str]


def captioned(data: str, source: Source) -> Captions:
    """The images of `source`, which `data` names, that have a caption.

    Captions are read as UTF-8; bytes that are none as Windows-1252, counted. Raises MocoError where captions are not
    known, or all empty.
    """
    match source:
        case Listing():
            raw = _of_table(data)
        case Shards() if source.any_order:
            raw = [source.caption(i) for i in range(len(source))]
        case Shards():
            raise MocoError(
                f"--data {printable(data)}: captions are read from shards on a local disk with indices (moco pack "
                "writes them)"
            )
        case _:
            raise MocoError(f"--data {printable(data)}: {source.description} has no captions; {_TAKES}")
    texts, foreign = _decoded([_text_of(one) for one in raw])
    kept = np.array([i for i, text in enumerate(texts) if text], dtype=np.int64)
    if not len(kept):
        raise MocoError(f"--data {printable(data)}: all {len(texts):,} captions are empty; {_TAKES}")
    lines = [f"{number_of(len(kept), 'image')} with captions, {len({texts[i] for i in kept}):,} of them different"]
    if empty := len(texts) - len(kept):
        first = next(i for i, text in enumerate(texts) if not text)
        have = "has no caption and is" if empty == 1 else "have no caption and are"
        lines.append(f"{number_of(empty, 'image')} {have} left out, such as {source.name(first)}")
    if foreign:
        lines.append(f"{number_of(foreign, 'caption')} not in UTF-8, read as Windows-1252; save the table as UTF-8")
    chosen = source if len(kept) == len(texts) else Kept(source, kept)
    return Captions(chosen, [texts[i] for i in kept], lines)


class Kept:
    """Some of the images of a source; of some of a source, some of the source."""

    def __init__(self, whole: Source, positions: NDArray[np.int64]) -> None:
        self.whole: Source = whole.whole if isinstance(whole, Kept) else whole
        self.positions: NDArray[np.int64] = whole.positions[positions] if isinstance(whole, Kept) else positions
        self.description = f"{self.whole.description}, {len(positions):,} of them"

    @property
    def hints(self) -> Hints:
        """Those of the whole."""
        return self.whole.hints

    def __len__(self) -> int:
        return len(self.positions)

    def name(self, i: int) -> str:
        """The name in the whole."""
        return self.whole.name(int(self.positions[i]))

    def raw(self, i: int) -> bytes | NDArray[np.uint8] | Opened:
        """The file or pixels; raises Unreadable."""
        return self.whole.raw(int(self.positions[i]))

    def native(self, i: int) -> Any:
        """The file, or its own values; raises Unreadable."""
        return native(self.whole, int(self.positions[i]))

    def label(self, i: int) -> str | None:
        """The class in the whole."""
        return self.whole.label(int(self.positions[i]))


def split(pairs: Captions, share: float, seed: int) -> tuple[Captions, Captions]:
    """What is learnt from, and what is held out: a share of the images, the same for a seed.

    Raises MocoError where too few are left.
    """
    n = len(pairs.texts)
    out = max(2, round(share * n))
    if n - out < 2:
        raise MocoError(f"{n} images with captions are too few to hold {out} of them out; give more")
    held = np.sort(draw.permutation(n, seed, draw.stream("held out"))[:out])
    rest = np.setdiff1d(np.arange(n), held)
    first, second = (
        Captions(Kept(pairs.source, rows), [pairs.texts[i] for i in rows.tolist()], pairs.lines)
        for rows in (rest, held)
    )
    return first, second


def _of_table(data: str) -> list[bytes]:
    """The column of captions, in the order of the rows that name an image, as bytes."""
    path = os.path.expanduser(data)  # noqa: PTH111
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise MocoError(f"--data {printable(data)}: the table cannot be read ({error.strerror})") from None
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    rows = table_of(text, printable(data), Path(path).suffix.lower())
    header = [cell.strip().lower() for cell in rows[0]]
    paths = next((header.index(name) for name in PATH_COLUMNS if name in header), 0)
    column = next((header.index(name) for name in CAPTION_COLUMNS if name in header), None)
    if column is None:
        raise MocoError(f"--data {printable(data)}: there is no column caption; it has {', '.join(header)}. {_TAKES}")
    named = [row for row in rows[1:] if len(row) > paths and row[paths].strip()]
    return [(row[column] if len(row) > column else "").encode("utf-8", "surrogateescape") for row in named]


def _text_of(content: bytes) -> bytes:
    """A caption as it stands in a .txt, or the field of a .json."""
    if not content.lstrip().startswith(b"{"):
        return content
    try:
        stated = json.loads(content)
    except ValueError:
        return content
    found = next((stated[name] for name in _FIELDS if isinstance(stated.get(name), str)), "")
    return str(found).encode("utf-8", "surrogatepass")


def _decoded(captions: list[bytes]) -> tuple[list[str], int]:
    """Captions in one line each, and how many were not in UTF-8."""
    texts, foreign = [], 0
    for caption in captions:
        try:
            text = caption.decode("utf-8")
        except UnicodeDecodeError:
            text, foreign = caption.decode("cp1252", "replace"), foreign + 1
        texts.append(" ".join(text.replace("\0", " ").split()))
    return texts, foreign
