"""The command line: parse, call, print. A command is one file here with a function `run`, and one line in COMMANDS.

Only this room knows the command line; nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from typing import NoReturn

from moco.cli.answer import JSON, Answer, to_json
from moco.errors import MocoError, ToldElsewhere
from moco.recipe import RECIPES
from moco.version import VERSION

COMMANDS = {
    "pretrain": ("[RECIPE] --data IMAGES --out RUN", "train an encoder; the same command again goes on"),
    "evaluate": ("ENCODER --data LABELLED", "judge it on labelled images, beside its untrained self"),
    "transfer": ("TASK --start ENCODER --data FOLDER", "fine-tune to detect or segment, beside other starts"),
    "predict": ("RUN IMAGES --out FOLDER", "draw and write what a fine-tuned model finds"),
    "study": ("[NAME] --data IMAGES", "an ablation of the papers on your images, beside their values"),
    "tune": ("--data IMAGES --out FOLDER", "search a recipe's fields; writes best.json for pretrain"),
    "embed": ("ENCODER --data IMAGES", "write features with paths and labels, .npz or .parquet"),
    "neighbours": ("ENCODER --data IMAGES", "the most similar images of each"),
    "duplicates": ("ENCODER --data IMAGES", "groups of images that are nearly the same"),
    "outliers": ("ENCODER --data IMAGES", "images unlike all others, first"),
    "cluster": ("ENCODER --data IMAGES", "groups of alike images, the most typical first"),
    "explore": ("RUN", "a map of the images in the browser: neighbours, search, doubles, outliers"),
    "export": ("ENCODER FORMAT FOLDER", "hand it to another library, opened there and compared"),
    "compare": ("RUN RUN ...", "one page about several runs, or those of a study or a search"),
    "ls": ("[RUNS]", "the runs of a folder: running, stopped, finished or dead"),
    "watch": ("[RUNS]", "the same as a live page: progress, curves, health"),
    "report": ("RUN", "write RUN/report.html again"),
    "check": ("--data IMAGES", "read every image once: sizes, duplicates, broken files"),
    "pack": ("--data IMAGES --out DIR", "copy images into shards, small enough to read fast"),
    "show": ("[RECIPE]", "print a recipe, or the names there are"),
    "doctor": ("", "what is installed, what extras would bring, what this machine does"),
    "completion": ("bash|zsh|fish", "commands and flags for your shell"),
}
"""name: (usage, what it does); the command lives in the file of its name."""

_USAGE = "\n".join(f"  {f'moco {name} {usage}':50}{what}" for name, (usage, what) in COMMANDS.items())

HELP = f"""moco {VERSION}: Momentum Contrast, an encoder from images without labels

{_USAGE}

ENCODER: a run, its encoder.pt, or features written by embed
RECIPE: auto (the default), {", ".join(RECIPES)}, a .json file, or file.py:function
IMAGES: a folder, .zip, .tar, shards (s3://x/{{000..012}}.tar), a .txt or .csv list, .npy, .npz, torchvision:NAME, demo
"moco COMMAND --help" lists a command's flags. Start with: moco pretrain --data demo --out runs/demo
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exits with 0, 1 (something to put right), 2 (unknown flags) or 128 + a signal."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")  # noqa: T201
        return
    if arguments[0] in ("-V", "--version"):
        _print_versions(JSON in arguments)
        return
    if arguments[0] not in COMMANDS:
        _fail(f"there is no command {arguments[0]!r}; the commands are {', '.join(COMMANDS)}", 2)
    try:
        _run(arguments)
    except ToldElsewhere:
        sys.exit(1)
    except MocoError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.exit(141)


def _run(arguments: list[str]) -> None:
    """Run a command. With --json standard output is what it found, and all that a person reads goes to the other."""
    as_json = JSON in arguments
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        answer: Answer | None = import_module(f"moco.cli.{arguments[0]}").run(arguments[1:])
    if answer is None:
        return
    if as_json and os.environ.get("RANK", "0") == "0":  # of several processes, the main one talks
        print(to_json(answer.value))  # noqa: T201
    if answer.code:
        sys.exit(answer.code)


def _print_versions(as_json: bool) -> None:
    """Of moco, and, as torch takes a second to say them, then of torch and the device."""
    if not as_json:
        print(f"moco {VERSION}", flush=True)  # noqa: T201
    from moco.commands.doctor import versions

    found = versions()
    if as_json:
        print(to_json(found))  # noqa: T201
    else:
        print(f"torch {found['torch']}, Python {found['python']}, {found['device']}")  # noqa: T201


def _fail(message: str, code: int) -> NoReturn:
    print(f"moco: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
