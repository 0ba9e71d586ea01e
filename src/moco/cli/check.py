"""`moco check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer, plain
from moco.cli.parse import parse
from moco.cli.values import Values


@dataclass
class Check:
    """Read every image once and say what is there."""

    data: str
    left_out: Path | None = None
    """A file to write the names of what is not read into, one a line."""
    values: Annotated[Values, tyro.conf.arg(name="")] = field(default_factory=Values)
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    task: str | None = None
    """A task of moco transfer: read the annotations in its layout too, and name what makes no sense."""
    train: str | None = None
    """With --task: the part to learn from, as for moco transfer."""
    test: str | None = None
    """With --task: the part to be judged on."""
    start: str | None = None
    """With --task: what is to be fine-tuned, as for moco transfer; images are read as it was trained on them."""


def run(arguments: list[str]) -> Answer:
    """Read everything, and print what was found; ends with 1 where so much is unreadable that it would stop a run."""
    asked = parse(Check, "moco check", arguments)
    from moco.data.check import check
    from moco.data.decide import decide
    from moco.data.left_out import left_out
    from moco.data.open import open_source
    from moco.data.pieces import pieces
    from moco.data.survey import survey
    from moco.display import Terminal
    from moco.run.atomic import write_text

    tell = Terminal()
    if asked.task is not None:
        from moco.commands.check_annotated import check_annotated

        lines, too_many = check_annotated(asked.task, asked.data, asked.train, asked.test, asked.start)
        for line in lines:
            tell.note(line)
        return Answer({"lines": lines, "stops_a_run": too_many}, 1 if too_many else 0)
    source = open_source(asked.values.source(asked.data))
    made = decide(
        source,
        survey(source),
        asked.values.asked(),
    )
    beside = left_out(source)
    source = pieces(source, made.pixels)
    reading = tell.reading("reading images", len(source))
    found = check(source, reading, made.pixels)
    for line in [*found.lines(), *made.lines]:
        tell.note(line)
    if asked.left_out is not None:
        write_text(asked.left_out, beside.listed())
    facts = {"stops_a_run": found.stops_a_run, "lines": [*found.lines(), *made.lines]}
    return Answer(plain(found) | {"sizes": sizes(found.sizes)} | facts, 1 if found.stops_a_run else 0)


def sizes(counted: Mapping[tuple[int, int], int]) -> list[dict[str, int]]:
    """Widths and heights, the most frequent first."""
    ranked = sorted(counted.items(), key=lambda one: -one[1])
    return [{"width": width, "height": height, "images": n} for (width, height), n in ranked]
