"""`moco pretrain`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.cli.values import Values
from moco.machine import Machine
from moco.recipe import RECIPES, Recipe, flatten, v2


@dataclass
class Pretrain:
    """Train an encoder on images without labels. A run that was stopped goes on with the same command."""

    data: str
    """Images: a folder, .zip, .tar, a .txt or .csv list, .npy or .npz, torchvision:NAME, or demo."""
    out: Path
    """The run directory: made, or continued."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    time: str | None = None
    """What `auto` may take in all: 90s, 20m, 2h, 3d. None: 30m on a CPU, 2h on a GPU, if no length is given."""
    init: str | None = None
    """Start from what was trained: a file (FILE#PREFIX), a run, torchvision:NAME[=FILE] or timm:NAME[=FILE]."""
    watch: str | None = None
    """Labelled images (FOLDER/<class>/x.jpg, or with train/ and test/ above) on which kNN is measured now and then."""
    views: str | None = None
    """Named views: photos, gentle, documents, near, crops, colours, microscopy, satellite, multispectral, radar,
    fluorescence or xray. None: auto tries them."""
    values: Annotated[Values, tyro.conf.arg(name="")] = field(default_factory=Values)
    log: Annotated[tuple[Literal["wandb", "mlflow", "trackio"], ...], tyro.conf.arg(aliases=("--logger",))] = ()
    """Loggers that get the rows, the recipe and the pictures too; --logger behind torchrun, which has a --log."""
    pairs: str | None = None
    """Which images show the same, to be one another's positives: a table with the columns path and group (or
    FILE:COLUMN), or the word parent for images of one folder."""
    positives: int | None = None
    """Images of its group that a query is contrasted with, each encoded as a key; 1 if not given."""
    pair_window: str | None = None
    """Group by the table's column of times: images of a group of which each follows the one before within this time,
    such as 30s or 2h."""
    prompt: str = "{}"
    """Of image-text with --watch: the sentence that names a class, as in 'a photo of a {}'."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Train, or go on."""
    began = time.monotonic()
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "auto"
    start = v2() if name == "auto" else starting_recipe(name)
    asked = parse(Pretrain, "moco pretrain", arguments, Pretrain(tyro.MISSING, tyro.MISSING, start))
    changes = named_changes(start, asked.recipe, arguments)
    from moco.commands.pairs import AskedPairs
    from moco.commands.pretrain import pretrain  # the libraries behind it take seconds to import
    from moco.display import Terminal
    from moco.distributed import main_process
    from moco.run.stop import Stopped

    tell = Terminal(outlives=f"the run goes on; {asked.out / 'log.jsonl'} tells how")
    try:
        pretrain(
            asked.values.source(asked.data),
            asked.out,
            name,
            time=asked.time,
            views=asked.views,
            watch=asked.watch,
            init=asked.init,
            machine=asked.machine,
            log=asked.log,
            changes=changes,
            tell=tell,
            asked=asked.values.asked(),
            prompt=asked.prompt,
            pairs=AskedPairs(asked.pairs, asked.pair_window, asked.positives),
            began=began,
        )
    except Stopped as stop:
        tell.close()
        if main_process():
            tell.note(
                f"stopped and saved at step {stop.step:,}; the same command goes on from there, "
                f"and moco report {asked.out} draws what there is"
            )
        sys.exit(128 + stop.signum)
    finally:
        tell.close()
    return Answer({"run": asked.out, "encoder": asked.out / "encoder.pt", "log": asked.out / "log.jsonl"})


def starting_recipe(name: str) -> Recipe:
    """A named recipe, without importing torch for the built-in ones."""
    if name in RECIPES:
        return RECIPES[name]()
    from moco.commands.choose import named_recipe

    return named_recipe(name)


def named_changes(start: Recipe, asked: Recipe, arguments: list[str]) -> dict[str, Any]:
    """The fields of the recipe that were named on the command line, with their values."""
    named = {a[2:].split("=")[0].replace("-", "_").replace(".no_", ".") for a in arguments if a.startswith("--")}
    values = flatten(asked)
    return {field: value for field, value in values.items() if field in named or flatten(start)[field] != value}
