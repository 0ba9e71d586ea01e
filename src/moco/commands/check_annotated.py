"""`moco check --task`: the annotations of a data set, and whether its images are what they say."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moco.commands.transfer import named_task
from moco.data.decide import Decided
from moco.data.said import in_words
from moco.data.source import Unreadable
from moco.machine import Machine, cores
from moco.transfer.layouts.annotated import Annotated, Complaint, Part, read_as, summary
from moco.transfer.layouts.open import open_parts
from moco.transfer.made_of import made_of
from moco.transfer.starts import RANDOM, open_starts
from moco.transfer.views import read_labels, read_pixels

_SHOWN = 20


def check_annotated(
    task: str,
    data: str | os.PathLike[str],
    train: str | None = None,
    test: str | None = None,
    start: str | None = None,
) -> tuple[list[str], bool]:
    """What there is to say about a data set in the layout of a task, and whether so much is wrong that a run stops.

    Reads every annotation, image and mask: images as an encoder that is fine-tuned from `start` reads them, or an
    untrained one. Raises MocoError where the layout is another, or the start cannot be opened.
    """
    parts = open_parts(named_task(task).layout, Path(data).expanduser(), train, test)
    made = made_of(parts[0]) if start in (None, RANDOM) else None
    pixels = made.pixels if made is not None else open_starts([str(start)], "resnet50")[0].pixels
    by = f"as {start} was trained on them" if made is None else "by looking at them"
    lines = [f"images are read as {in_words(pixels)} ({by})"] if made is None or pixels is not None else []
    lines += _hints(made)
    too_many = False
    for part, word in zip((read_as(part, pixels) for part in parts), ("to learn from", "to judge on"), strict=True):
        bad = [*part.complaints, *_unreadable(part)]
        lines.append(f"{word}: {summary(part)}")
        lines += [f"  {complaint.where}: {complaint.why}" for complaint in bad[:_SHOWN]]
        lines += [f"  ... and {len(bad) - _SHOWN:,} more"] if len(bad) > _SHOWN else []
        if len(bad) > Machine().max_skipped * max(part.annotations, 1):
            too_many = True
            lines.append(
                f"  {len(bad):,} of {part.annotations:,} are more than {Machine().max_skipped:.0%}, which stops a run: "
                "repair them, or allow more with --machine.max-skipped"
            )
    return lines, too_many


def _hints(made: Decided | None) -> list[str]:
    """What there is to say of images that are no photographs: which starts read them, and what differs among them."""
    if made is None or made.pixels is None:
        return []
    channels = f"{made.pixels.channels} channel{'s' * (made.pixels.channels > 1)}"
    start = f"moco transfer reads them so for random alone; a start is trained on {channels} alike (--start checks one)"
    return [start, *made.lines[1:]]


def _unreadable(part: Part) -> list[Complaint]:
    look: Callable[[Annotated], Complaint | None] = lambda image: _look(part, image)  # noqa: E731
    with ThreadPoolExecutor(cores()) as threads:
        return [bad for bad in threads.map(look, part.images) if bad is not None]


def _look(part: Part, image: Annotated) -> Complaint | None:
    try:
        read_pixels(image)
        if image.mask is not None:
            read_labels(part, image)
    except Unreadable as error:
        return Complaint(image.name, error.reason)
    return None
