"""`moco transfer`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.errors import MocoError
from moco.machine import Machine
from moco.transfer.recipe import TASKS, Transfer


@dataclass
class TransferTo:
    """Fine-tune from end to end on a task of the papers, from one start or several side by side.

    A run that was stopped goes on with the same command.
    """

    data: str
    """The folder of images and annotations, in the task's layout."""
    out: Path
    """The folder of the runs and their table: made, or continued."""
    recipe: Annotated[Transfer, tyro.conf.arg(name="")]
    start: tuple[str, ...] = ("random",)
    """What to start from, several by repeating it: a run, its encoder.pt, torchvision:NAME=FILE, a file, or random."""
    train: str | None = None
    """The part to learn from, where it is not the usual one: a list of VOC, a file of COCO, a folder."""
    test: str | None = None
    """The part to be judged on."""
    labels: str = "1"
    """Shares of the training images, such as 0.1,0.5,1."""
    seeds: str = "0"
    """Seeds of order, views and what is new in the model, such as 0,1,2."""
    backbone: str = "resnet50"
    """The architecture where no start has one: resnet50, resnet18w16, ..."""
    looks: int = 10
    """How often a model is judged on the way."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    log: Annotated[tuple[Literal["wandb", "mlflow", "trackio"], ...], tyro.conf.arg(aliases=("--logger",))] = ()
    """Loggers that get the rows and the recipe of each run too; --logger behind torchrun, which has a --log."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Fine-tune, or go on."""
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else ""
    if name not in (*TASKS, "densepose") and arguments and not {"-h", "--help"} & {*arguments}:
        asked = f"there is no task {name!r}" if name else "a task is missing"
        raise MocoError(f"{asked}; the tasks are {', '.join(TASKS)}, densepose")
    if name == "densepose":
        return _densepose(arguments)
    recipe = TASKS.get(name, TASKS["detect-voc"])()
    program = f"moco transfer {name or 'TASK'}"
    asked_for = parse(TransferTo, program, _repeated(arguments), TransferTo(tyro.MISSING, tyro.MISSING, recipe))
    from moco.commands.transfer import transfer
    from moco.display import Terminal
    from moco.distributed import main_process
    from moco.run.stop import Stopped

    tell = Terminal(outlives=f"the run goes on; {asked_for.out} tells how")
    try:
        transfer(
            asked_for.recipe,
            asked_for.data,
            asked_for.out,
            asked_for.start,
            train=asked_for.train,
            test=asked_for.test,
            labels=_numbers("labels", asked_for.labels),
            seeds=[int(v) for v in _numbers("seeds", asked_for.seeds)],
            backbone=asked_for.backbone,
            looks=asked_for.looks,
            machine=asked_for.machine,
            log=asked_for.log,
            tell=tell,
        )
    except Stopped as stop:
        tell.close()
        if main_process():
            tell.note(f"stopped and saved at step {stop.step:,}; the same command goes on from there")
        sys.exit(128 + stop.signum)
    finally:
        tell.close()
    results = asked_for.out / "results.json"
    return Answer({"folder": asked_for.out} | (json.loads(results.read_text()) if results.exists() else {}))


@dataclass
class DensePose:
    """Write weights and a configuration of DensePose, which Detectron2 trains."""

    start: str
    """The encoder, as for the other tasks."""
    out: Path
    """The folder of the two files."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""


def _densepose(arguments: list[str]) -> Answer:
    asked = parse(DensePose, "moco transfer densepose", arguments)
    from moco.commands.transfer import densepose
    from moco.display import Terminal

    weights, configuration = densepose(asked.start, asked.out, tell=Terminal())
    return Answer({"weights": weights, "configuration": configuration})


def _repeated(arguments: list[str]) -> list[str]:
    """`--start A --start B` as `--start A B`."""
    starts, rest, taking = [], [], False
    for one in arguments:
        if one == "--start" or one.startswith("--start="):
            taking = one == "--start"
            starts += [] if taking else [one.removeprefix("--start=")]
        elif taking and not one.startswith("-"):
            starts.append(one)
        else:
            taking = False
            rest.append(one)
    return [*rest, "--start", *starts] if starts else rest


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [float(v) for v in text.replace(" ", ",").split(",") if v]
    except ValueError:
        raise MocoError(f"--{flag} {text}: numbers with commas between them") from None
