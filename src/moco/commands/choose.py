"""Which recipe is meant: a name, a file, a function, or `auto` fitted to the data."""

from __future__ import annotations

import dataclasses
import importlib.util
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moco.commands.tell import Teller
from moco.data.decide import Decided, decide
from moco.data.source import Source
from moco.data.survey import Survey
from moco.errors import MocoError
from moco.recipe import RECIPES, Queue, Recipe, check, flatten, from_json, named_views, override, v2
from moco.recipe.auto import DataFacts, auto


def choose_recipe(
    recipe: str | Recipe,
    source: Source,
    facts: Survey,
    views: str | None,
    changes: dict[str, Any],
    tell: Teller,
    made: Decided | None = None,
) -> Recipe:
    """The recipe that is asked for, fitted to the data where that is `auto`, with the user's changes in it.

    `made` is what the images are made of; None: found out, or as a given recipe says.
    """
    if made is None:
        told = isinstance(recipe, Recipe) and recipe.pixels is not None
        made = Decided(recipe.pixels, recipe.normalize) if told else decide(source, facts)  # type: ignore[union-attr]
        for line in made.lines:
            tell.note(line)
    own = any(name.startswith("normalize") for name in changes)
    if recipe == "auto":
        hints = source.hints
        values = flatten(override(v2(), changes))  # checked, and of the types that the recipe has
        changes = {name: values.get(name, value) for name, value in changes.items()}
        fitted, choices = auto(
            DataFacts(facts.images, facts.short_side),
            views or hints.views or made.views or "photos",
            hints.steps,
            changes,
        )
        tell.choices(choices)
        fitted = made.into(fitted, own)
        check(fitted)
        return _with_a_note_on_its_queue(fitted, facts, tell) if "dictionary.size" in changes else fitted
    chosen = recipe if isinstance(recipe, Recipe) else named_recipe(recipe)
    if views is not None:
        chosen = dataclasses.replace(chosen, query_view=named_views(views), key_view=None)
    chosen = made.into(override(chosen, changes), own)
    check(chosen)
    if "batch" in changes and "optim.lr" not in changes:
        tell.note(
            f"note: --batch {chosen.batch} with the recipe's --optim.lr {chosen.optim.lr}; "
            "the papers change the two in proportion"
        )
    return _with_a_note_on_its_queue(chosen, facts, tell)


def _with_a_note_on_its_queue(recipe: Recipe, facts: Survey, tell: Teller) -> Recipe:
    match recipe.dictionary:
        case Queue(size=size) if recipe.text is None and 0.1 * facts.images < size < facts.images > 1000:
            tell.note(
                f"note: the queue of {size:,} keys holds {size / facts.images:.0%} of the images, so an image often "
                "meets its own old key as a negative; the papers' share is 5 %"
            )
        case _:
            pass
    return recipe


def named_recipe(name: str) -> Recipe:
    """The recipe called `name`: one of the built-in ones, a JSON file, or `file.py:function`; raises MocoError."""
    if name in RECIPES:
        return RECIPES[name]()
    path, _, function = name.rpartition(":")
    if path.endswith(".py"):
        return _recipe_from_python(Path(path), function)
    if name.endswith(".json"):
        return _recipe_from_json(Path(name))
    raise MocoError(f"there is no recipe {name!r}; take auto, {', '.join(RECIPES)}, a .json file, or file.py:function")


def _recipe_from_json(path: Path) -> Recipe:
    try:
        return from_json(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise MocoError(f"there is no recipe file {path}") from None
    except OSError as error:
        raise MocoError(f"the recipe {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise MocoError(f"the recipe {path} is not text in UTF-8; save it as UTF-8") from None
    except MocoError as error:
        raise MocoError(f"{path}: {error}; `moco show v2` prints a recipe that fits") from None


def _recipe_from_python(path: Path, function: str) -> Recipe:
    if not path.is_file():
        raise MocoError(f"there is no recipe file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _its_mistakes_are_told(path):
        spec.loader.exec_module(module)
    if not callable(make := getattr(module, function, None)):
        raise MocoError(f"{path} has no function {function!r}")
    with _its_mistakes_are_told(path):
        recipe = make()
    if not isinstance(recipe, Recipe):
        raise MocoError(f"{path}:{function} returned a {type(recipe).__name__}, not a moco.Recipe")
    return recipe


@contextmanager
def _its_mistakes_are_told(path: Path) -> Iterator[None]:
    """Turn whatever a user's file raises into a sentence with the line it came from."""
    try:
        yield
    except MocoError as error:
        raise MocoError(f"{path}: {error}") from None
    except SyntaxError as error:
        raise MocoError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.absolute())]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise MocoError(f"{where}: {type(error).__name__}: {error}") from error
