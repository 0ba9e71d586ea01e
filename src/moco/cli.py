"""The command line: parse, call, print. Only this file knows it; nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import RECIPES, VIEWS, Recipe, flatten, to_json, v2
from moco.version import VERSION

HELP = f"""moco {VERSION}: Momentum Contrast, an encoder from images without labels

  moco pretrain [RECIPE] --data IMAGES --out RUN    train an encoder; the same command again goes on
  moco evaluate RUN --data LABELLED                 judge it on labelled images, beside its untrained self
  moco report RUN                                   write RUN/report.html again
  moco check --data IMAGES                          read every image once: sizes, duplicates, broken files
  moco show [RECIPE]                                print a recipe, or the names there are

RECIPE: auto (the default), {", ".join(RECIPES)}, a .json file, or file.py:function
IMAGES: a folder, .zip, .tar, a .txt or .csv list, .npy or .npz, torchvision:NAME, or demo
"moco COMMAND --help" lists a command's flags. Start with: moco pretrain --data demo --out runs/demo
"""


@dataclass
class Pretrain:
    """Train an encoder on images without labels. A run that was stopped goes on with the same command."""

    data: str
    """Images: a folder, .zip, .tar, a .txt or .csv list, .npy or .npz, torchvision:NAME, or demo."""
    out: Path
    """The run directory: made, or continued."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    watch: str | None = None
    """Labelled images (FOLDER/<class>/x.jpg, or with train/ and test/ above) on which kNN is measured now and then."""
    views: str | None = None
    """A named set of views: photos, documents, microscopy or satellite."""
    machine: Machine = field(default_factory=Machine)


@dataclass
class Evaluate:
    """Judge the encoder of a run on labelled images."""

    run: Annotated[Path, tyro.conf.Positional]
    protocols: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """knn, few-labels; all of them where none is named."""
    data: str = tyro.MISSING
    """Labelled images, as for --watch."""
    machine: Machine = field(default_factory=Machine)


@dataclass
class Report:
    """Write the page about a run again."""

    run: Annotated[Path, tyro.conf.Positional]


@dataclass
class Check:
    """Read every image once and say what is there."""

    data: str


@dataclass
class ShowRecipe:
    """Print a recipe as JSON; without a name, the names there are."""

    recipe: Annotated[str, tyro.conf.Positional] = ""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (something to put right), 2 (unknown flags) or 128 + a signal."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")  # noqa: T201
        return
    if arguments[0] in ("-V", "--version"):
        print(f"moco {VERSION}")  # noqa: T201
        return
    if arguments[0] not in COMMANDS:
        _fail(f"there is no command {arguments[0]!r}; the commands are {', '.join(COMMANDS)}", 2)
    try:
        COMMANDS[arguments[0]](arguments[1:])
    except MocoError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.exit(141)


def _fail(message: str, code: int) -> Any:
    print(f"moco: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _pretrain(arguments: list[str]) -> None:
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "auto"
    start = v2() if name == "auto" else _start(name)
    asked = _parse(Pretrain, "moco pretrain", arguments, Pretrain(tyro.MISSING, tyro.MISSING, start))
    changes = _changes(start, asked.recipe, arguments)
    from moco.commands.pretrain import pretrain  # the libraries behind it take seconds to import
    from moco.display import Terminal
    from moco.loop import Stopped

    tell = Terminal()
    try:
        pretrain(
            asked.data,
            asked.out,
            name,
            views=asked.views,
            watch=asked.watch,
            machine=asked.machine,
            changes=changes,
            tell=tell,
        )
    except Stopped as stop:
        tell.close()
        tell.note(f"stopped and saved at step {stop.step:,}; the same command goes on from there")
        sys.exit(128 + stop.signum)
    finally:
        tell.close()


def _start(name: str) -> Recipe:
    if name in RECIPES:
        return RECIPES[name]()
    from moco.commands.choose import named_recipe

    return named_recipe(name)


def _changes(start: Recipe, asked: Recipe, arguments: list[str]) -> dict[str, Any]:
    """The fields of the recipe that were named on the command line, with their values."""
    named = {a[2:].split("=")[0].replace("-", "_").replace(".no_", ".") for a in arguments if a.startswith("--")}
    values = flatten(asked)
    return {field: value for field, value in values.items() if field in named or flatten(start)[field] != value}


def _evaluate(arguments: list[str]) -> None:
    asked = _parse(Evaluate, "moco evaluate", arguments)
    from moco.commands.evaluate import PROTOCOLS, evaluate
    from moco.commands.report import report
    from moco.display import Terminal

    tell = Terminal()
    evaluate(asked.run, asked.data, asked.protocols or PROTOCOLS, machine=asked.machine, tell=tell)
    tell.note(f"{report(asked.run)} shows them beside the curves")


def _report(arguments: list[str]) -> None:
    asked = _parse(Report, "moco report", arguments)
    from moco.commands.report import report

    print(report(asked.run))  # noqa: T201


def _check(arguments: list[str]) -> None:
    asked = _parse(Check, "moco check", arguments)
    from moco.data.check import check
    from moco.data.open import open_source
    from moco.display import Terminal

    tell = Terminal()
    source = open_source(asked.data)
    reading = tell.reading("reading images", len(source))
    for line in check(source, reading).lines():
        tell.note(line)


def _show(arguments: list[str]) -> None:
    asked = _parse(ShowRecipe, "moco show", arguments)
    if asked.recipe in ("", "auto"):
        for name, make in RECIPES.items():
            print(f"{name:12} {(make.__doc__ or '').splitlines()[0]}")  # noqa: T201
        print(f"{'auto':12} v2 fitted to the images it is given; the default")  # noqa: T201
        print(f"views: {', '.join(VIEWS)}")  # noqa: T201
        return
    print(to_json(_start(asked.recipe)))  # noqa: T201


def _parse(kind: Any, program: str, arguments: list[str], default: Any = None) -> Any:
    more = {} if default is None else {"default": default}
    return tyro.cli(kind, prog=program, args=arguments, config=(tyro.conf.AvoidSubcommands,), **more)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "pretrain": _pretrain,
    "evaluate": _evaluate,
    "report": _report,
    "check": _check,
    "show": _show,
}
