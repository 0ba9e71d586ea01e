"""`moco study`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro

from moco.cli.answer import JSON, Answer, table
from moco.cli.parse import parse
from moco.cli.pretrain import named_changes, starting_recipe
from moco.machine import Machine
from moco.recipe import Recipe, v2


@dataclass
class Study:
    """Train an ablation of the papers on your images, and draw it beside the papers' values.

    `moco study` lists them. The same command goes on, and may run in several terminals at a time.
    """

    data: str
    """Images, as for pretrain."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path = Path("studies")
    """The folder of all studies."""
    seeds: int = 3
    """How often each cell is trained, each time from another start and in another order."""
    watch: str | None = None
    """Labelled images: kNN on them is the score. Without them it is the effective rank."""
    base: str = "auto"
    """The recipe that the cells differ from."""
    cells: tuple[str, ...] = ()
    """Train these cells only, by the name in the table."""
    retry: bool = False
    """Train cells that failed again."""
    views: str | None = None
    """A named set of views: photos, gentle, documents, near, crops, colours, microscopy or satellite."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """List the studies, or work on one."""
    from moco.study.papers import STUDIES

    if not [a for a in arguments if a != JSON]:
        for study_name, make in STUDIES.items():
            print(f"{study_name:12} {(make.__doc__ or '').splitlines()[0]}")  # noqa: T201
        print("moco study NAME --data IMAGES --watch LABELLED")  # noqa: T201
        return Answer({study: (make.__doc__ or "").splitlines()[0] for study, make in STUDIES.items()})
    name = arguments.pop(0) if not arguments[0].startswith("-") else ""
    base = next((b for a, b in pairwise(arguments) if a == "--base"), "auto")
    start = v2() if base == "auto" else starting_recipe(base)
    asked = parse(Study, "moco study", arguments, Study(tyro.MISSING, start))
    from moco.commands.study import study
    from moco.display import Terminal
    from moco.run.stop import Stopped

    tell = Terminal()
    try:
        found = study(
            name,
            asked.data,
            asked.out,
            seeds=asked.seeds,
            watch=asked.watch,
            base=asked.base,
            views=asked.views,
            changes=named_changes(start, asked.recipe, arguments),
            cells=asked.cells,
            retry=asked.retry,
            machine=asked.machine,
            tell=tell,
        )
    except Stopped as stop:
        tell.close()
        tell.note(f"stopped and saved at step {stop.step:,} of a cell; the same command goes on from there")
        sys.exit(128 + stop.signum)
    finally:
        tell.close()
    tell.table("", found.head, found.rows)
    for sentence in found.verdicts:
        tell.note(sentence)
    if found.left:
        tell.note(f"{found.left} cells are in the hands of other processes; the last to end draws them all")
    tell.note(f"{found.folder}: table.csv, table.md, picture.png, and a run directory for each cell")
    return Answer(
        {
            "folder": found.folder,
            "rows": table(found.head, found.rows),
            "verdicts": found.verdicts,
            "cells_of_other_processes": found.left,
        }
    )
