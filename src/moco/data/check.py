"""Look at all images once and say what is there: how many, how large, which are doubled, which cannot be read."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from moco.data.decode import read
from moco.data.labelled import JUDGED
from moco.data.left_out import tally
from moco.data.names import number_of, one_line
from moco.data.seen import MOST_BEYOND, open_seen, share_beyond
from moco.data.source import Source, Unreadable, native
from moco.machine import Machine, cores
from moco.recipe.pixels import Pixels

Progress = Callable[[int], object]
"""Called with how many images are done."""

_AT_ONCE = 64
"""Images to a thread at a time."""
_SHOWN = 10
_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "colour",
    "RGBA": "colour with transparency",
    "CMYK": "CMYK (print)",
    "I": "grey, 32 bits",
    "I;16": "grey, 16 bits",
    "I;16B": "grey, 16 bits",
    "F": "grey, real numbers",
}


@dataclass(frozen=True)
class Report:
    """What there is in a source."""

    description: str
    count: int
    sizes: Counter[tuple[int, int]]
    """How many readable images there are of each width and height, upright."""
    modes: Counter[str]
    """How many there are of each kind of colour, in Pillow's words."""
    classes: Counter[str]
    """How many images there are of each class (or in train and test); empty where the layout states none."""
    duplicates: list[list[str]]
    """Names of images whose files (or pixels) are the same to the byte, together."""
    unreadable: list[tuple[str, str]]
    """Name and reason of each image that cannot be read."""
    beside: str = ""
    """What lies beside the images and is not read, in a sentence."""
    beyond: Sequence[str] = ()
    """Names of images of which much lies beyond the range from black to white."""

    def lines(self) -> list[str]:
        """The report, for a person."""
        found = [*self._sizes(), *self._modes(), *self._classes(), *self._doubles(), *self._beyond(), *self._bad()]
        return [self.description, *([self.beside] if self.beside else []), *found]

    def _sizes(self) -> list[str]:
        if not self.sizes:
            return []
        if len(self.sizes) == 1:
            ((width, height),) = self.sizes
            return [f"all are {width} x {height} pixels (width x height)"]
        shorts = sorted((min(size), count) for size, count in self.sizes.items())
        half, seen, median = sum(self.sizes.values()) / 2, 0, 0
        for side, count in shorts:
            seen += count
            if seen >= half:
                median = side
                break
        line = f"shorter side: {shorts[0][0]} to {shorts[-1][0]} pixels, median {median}"
        most = [f"{count:,} of {w} x {h}" for (w, h), count in self.sizes.most_common(5)]
        rest = f" and {len(self.sizes) - 5:,} other sizes" if len(self.sizes) > 5 else ""
        return [line, f"width x height: {', '.join(most)}{rest}"]

    def _modes(self) -> list[str]:
        kinds = Counter[str]()
        for mode, count in self.modes.items():
            kinds[_MODES.get(mode) or _bands(mode)] += count
        return [f"colours: {', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}"] if kinds else []

    def _classes(self) -> list[str]:
        if not self.classes:
            return []
        ranked = self.classes.most_common()
        shown = [f"{name} {count:,}" for name, count in ranked[:_SHOWN]]
        rest = f" ... down to {ranked[-1][0]} {ranked[-1][1]:,}" if len(ranked) > _SHOWN else ""
        if self.classes.keys() <= {"train", *JUDGED}:
            return [f"parts: {', '.join(shown)}"]
        return [f"classes, by folder or label: {len(ranked):,} ({', '.join(shown)}{rest})"]

    def _doubles(self) -> list[str]:
        if not self.duplicates:
            return ["no image is there twice"]
        surplus = sum(len(group) - 1 for group in self.duplicates)
        verb = "image is an exact copy of another" if surplus == 1 else "images are exact copies of others"
        return [
            f"{surplus:,} {verb}; copies become each other's negatives, so keep one of each:",
            *_some([" = ".join(_some([one_line(name) for name in group])) for group in self.duplicates], "  "),
        ]

    def _beyond(self) -> list[str]:
        if not self.beyond:
            return []
        images = number_of(len(self.beyond), "image")
        return [
            f"{images} with more than {MOST_BEYOND:.0%} of the values beyond the range, clipped:",
            *_some([one_line(name) for name in self.beyond], "  "),
        ]

    def _bad(self) -> list[str]:
        if not self.unreadable:
            return ["every image can be read"]
        return [
            f"{len(self.unreadable):,} of {number_of(self.count, 'image')} cannot be read and would be skipped:",
            *_some([f"{one_line(name)}: {reason}" for name, reason in self.unreadable], "  "),
            *self._too_many_bad(),
        ]

    @property
    def stops_a_run(self) -> bool:
        """Whether more images cannot be read than a run skips by itself."""
        return len(self.unreadable) > Machine().max_skipped * self.count

    def _too_many_bad(self) -> list[str]:
        if not self.stops_a_run:
            return []
        allowed, share = Machine().max_skipped, len(self.unreadable) / self.count
        more = math.ceil(share * 100) / 100
        allow = f", or allow them with --machine.max-skipped {more:g}" if share < 1 else ""
        return [f"more than {allowed:.0%} stop a run: remove or repair them{allow}"]


def check(source: Source, progress: Progress | None = None, pixels: Pixels | None = None) -> Report:
    """Read and decode every image of the source as `pixels` says, in as many threads as there are processors."""
    first: dict[bytes, int] = {}
    copies: dict[int, list[int]] = {}
    sizes, modes, classes = Counter[tuple[int, int]](), Counter[str](), Counter[str]()
    unreadable: list[tuple[str, str]] = []
    beyond: list[str] = []

    def look(start: int) -> list[_Seen | str]:
        return [_look(source, i, pixels) for i in range(start, min(start + _AT_ONCE, len(source)))]

    with ThreadPoolExecutor(cores()) as threads:
        for start, found in zip(starts := range(0, len(source), _AT_ONCE), threads.map(look, starts), strict=True):
            for i, seen in enumerate(found, start):
                if (label := source.label(i)) is not None:
                    classes[label] += 1
                if isinstance(seen, str):
                    unreadable.append((source.name(i), seen))
                    continue
                sizes[seen.size] += 1
                modes[seen.mode] += 1
                if seen.beyond:
                    beyond.append(source.name(i))
                if (earlier := first.setdefault(seen.digest, i)) != i:
                    copies.setdefault(earlier, [earlier]).append(i)
            if progress is not None:
                progress(start + len(found))

    duplicates = [[source.name(i) for i in group] for group in copies.values()]
    return Report(source.description, len(source), sizes, modes, classes, duplicates, unreadable, tally(source), beyond)


def _bands(mode: str) -> str:
    """ "12 x uint16" as a person says it."""
    count, _, kind = mode.partition(" x ")
    words = {"uint8": "8 bits", "uint16": "16 bits", "int16": "16 bits with a sign", "float32": "real numbers"}
    return f"{'gray' if count == '1' else f'with {count} bands'} of {words[kind]}" if kind else mode


@dataclass(frozen=True)
class _Seen:
    size: tuple[int, int]
    mode: str
    digest: bytes
    beyond: bool


def _look(source: Source, i: int, pixels: Pixels | None) -> _Seen | str:
    """What image i is, or why it cannot be read."""
    try:
        raw = source.raw(i) if pixels is None else native(source, i)
        header, values = read(raw if pixels is None else open_seen(raw, pixels))
        beyond = pixels is not None and share_beyond(values, pixels) > MOST_BEYOND
    except Unreadable as error:
        return error.reason
    content = raw if isinstance(raw, bytes) else _bytes(raw if hasattr(raw, "shape") else values)
    return _Seen((header.width, header.height), header.mode, hashlib.sha256(content).digest()[:16], beyond)


def _bytes(values: Any) -> bytes:
    """What an array holds, or an image that is put together from several files or from a part of one."""
    return str(values.shape).encode() + bytes(values.tobytes())


def _some(items: Sequence[str], indent: str = "") -> list[str]:
    """The first few, and how many more there are."""
    more = [f"{indent}... and {len(items) - _SHOWN:,} more"] if len(items) > _SHOWN else []
    return [indent + item for item in items[:_SHOWN]] + more
