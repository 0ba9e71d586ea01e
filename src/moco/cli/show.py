"""`moco show`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.cli.pretrain import starting_recipe
from moco.recipe import RECIPES, VIEWS, to_json


@dataclass
class Show:
    """Print a recipe as JSON; without a name, the names there are."""

    recipe: Annotated[str, tyro.conf.Positional] = ""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""


def run(arguments: list[str]) -> Answer:
    """Print it."""
    asked = parse(Show, "moco show", arguments)
    if asked.recipe in ("", "auto"):
        for name, make in RECIPES.items():
            print(f"{name:12} {(make.__doc__ or '').splitlines()[0]}")  # noqa: T201
        print(f"{'auto':12} v2 fitted to the images it is given; the default")  # noqa: T201
        print(f"views: {', '.join(VIEWS)}")  # noqa: T201
        return Answer({"recipes": ["auto", *RECIPES], "views": list(VIEWS)})
    text = to_json(starting_recipe(asked.recipe))
    print(text)  # noqa: T201
    return Answer(json.loads(text))
