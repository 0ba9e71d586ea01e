"""What the images of an annotated data set are made of, found by looking at them as pretraining does."""

from __future__ import annotations

from moco.data.decide import Asked, Decided, decide
from moco.data.source import Hints, file_bytes
from moco.data.survey import survey
from moco.transfer.layouts.annotated import Part


def made_of(part: Part) -> Decided:
    """Bands, type, range and normalisation of a part's images; nothing but words where they are pictures of 8 bits.

    Gray ones of 8 bits are read in RGB, as those are that encoders of photographs were tried on. Raises MocoError where
    none can be read.
    """
    images = _Images(part)
    facts = survey(images)
    plain = sum(one.plain for _, one in facts.looks)
    return Decided(None) if 2 * plain > len(facts.looks) else decide(images, facts, Asked(pages="first"))


class _Images:
    """A source of the images alone."""

    hints = Hints()

    def __init__(self, part: Part) -> None:
        self._images, self.description = part.images, part.source

    def __len__(self) -> int:
        return len(self._images)

    def name(self, i: int) -> str:
        return self._images[i].name

    def raw(self, i: int) -> bytes:
        return file_bytes(str(self._images[i].path))

    def label(self, i: int) -> str | None:
        return None
