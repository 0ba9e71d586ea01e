"""`moco tune`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import Answer, table
from moco.cli.parse import parse
from moco.cli.pretrain import named_changes, starting_recipe
from moco.machine import Machine
from moco.recipe import Recipe, v2


@dataclass
class Tune:
    """Search fields of a recipe on your images. The same command goes on, and may run in several terminals."""

    data: str
    """Images, as for pretrain."""
    out: Path
    """The folder of the search: its runs, best.json, trials.csv."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    trials: int = 20
    """How many recipes are tried, those that other processes try included."""
    watch: str | None = None
    """Labelled images: kNN on them is the score. Without them it is how many quarter turns of images a probe finds."""
    search: tuple[str, ...] = ()
    """FIELD=LOW..HIGH or FIELD=A,B,C; where none is named, those of m, K, temperature and learning rate not set."""
    base: str = "auto"
    """The recipe to start from."""
    views: str | None = None
    """A named set of views: photos, gentle, documents, near, crops, colours, microscopy or satellite."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Search, or go on."""
    base = next((b for a, b in pairwise(arguments) if a == "--base"), "auto")
    start = v2() if base == "auto" else starting_recipe(base)
    asked = parse(Tune, "moco tune", arguments, Tune(tyro.MISSING, tyro.MISSING, start))
    from moco.commands.tune import tune
    from moco.display import Terminal
    from moco.run.stop import Stopped

    tell = Terminal()
    try:
        found = tune(
            asked.data,
            asked.out,
            trials=asked.trials,
            watch=asked.watch,
            search=asked.search,
            base=asked.base,
            views=asked.views,
            changes=named_changes(start, asked.recipe, arguments),
            machine=asked.machine,
            tell=tell,
        )
    except Stopped as stop:
        tell.note(f"stopped and saved at step {stop.step:,} of a trial; the same command goes on from there")
        sys.exit(128 + stop.signum)
    tell.table("", found.head, found.rows)
    for sentence in found.sentences:
        tell.note(sentence)
    return Answer({"best": found.best, "rows": table(found.head, found.rows), "sentences": found.sentences})
