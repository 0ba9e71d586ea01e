"""Files beside the images that are not read: how many of each ending, what would read them, and their names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from moco.data.formats import INSTALL, of_suffix
from moco.data.names import number_of, one_line, printable, suffix_of
from moco.data.source import Source

FILE = "left_out.txt"
"""Where a run lists them."""

_KINDS = 12


@dataclass(frozen=True)
class LeftOut:
    """What lies beside the images of a source."""

    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    def sentence(self) -> str:
        """ "411 .heic (pip install ...), 20 .txt"; the most first."""
        counts = Counter(suffix_of(name) for name in self.names)
        words = [f"{count:,} {suffix or 'without an ending'}{_help(suffix)}" for suffix, count in counts.most_common()]
        rest = f" and {len(words) - _KINDS:,} other endings" if len(words) > _KINDS else ""
        return ", ".join(words[:_KINDS]) + rest

    def listed(self) -> str:
        """The names, one a line."""
        return "".join(f"{one_line(printable(name))}\n" for name in self.names)


def left_out(source: Source) -> LeftOut:
    """The files that the source passed over; none where it names each image itself."""
    return LeftOut(list(getattr(source, "others", ())))


def tally(source: Source) -> str:
    """How many images are read and what is left out, in one line; empty where nothing is."""
    beside = left_out(source)
    return f"{number_of(len(source), 'image')} read; left out: {beside.sentence()}" if beside else ""


def _help(suffix: str) -> str:
    known = of_suffix(suffix)
    return f" ({INSTALL})" if known is not None and not known.read else ""
