"""What the images of a run are made of: as the run was started, as its recipe says, or as the data set is."""

from __future__ import annotations

from pathlib import Path

from moco.commands.tell import Teller
from moco.data.decide import Asked, Decided, decide
from moco.data.names import number_of
from moco.data.source import Source
from moco.data.survey import Survey
from moco.recipe import Recipe
from moco.run.directory import RunDirectory, is_run


def tell_beyond(source: Source, images: Source, tell: Teller) -> None:
    """Say once of how many images much was clipped, because the first that were looked at did not show such values."""
    if beyond := getattr(source, "beyond", None):
        tell.note(
            f"{number_of(len(beyond), 'image')} with more than 1 % of the values beyond the range from black to white, "
            f"which are clipped ({images.name(min(beyond))}); --range sets another"
        )


def made_of(out: Path, recipe: str | Recipe, source: Source, facts: Survey, asked: Asked | None) -> Decided:
    """What was decided when the run at `out` started, where it goes on; else by the recipe, or by looking."""
    if not asked:
        run = RunDirectory(out)
        if is_run(out) and run.checkpoint.exists():
            recipe = run.recipe()
            return Decided(recipe.pixels, None if recipe.pixels is None else recipe.normalize)
        if isinstance(recipe, Recipe) and recipe.pixels is not None:
            return Decided(recipe.pixels, recipe.normalize)
    return decide(source, facts, asked)
