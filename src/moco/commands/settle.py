"""Which recipe a run has, as far as that can be said before its images are in memory and the machine is measured."""

from __future__ import annotations

from moco import distributed
from moco.backbones import refuse_unknown
from moco.commands.ask import Ask, goes_on
from moco.commands.choose import choose_recipe
from moco.commands.fit import usual
from moco.commands.look import Looked
from moco.commands.tell import Teller
from moco.data.source import Source
from moco.dictionary import refuse_a_queue_larger_than_the_data
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import Recipe, check
from moco.recipe.auto import FEWEST_IMAGES
from moco.run.directory import RunDirectory


def settle(
    run: RunDirectory, recipe: str | Recipe, ask: Ask, looked: Looked, machine: Machine, tell: Teller
) -> Recipe | None:
    """The recipe; None where `auto` has to measure and to try before it can choose.

    A run that goes on has the recipe that was chosen when it began: nothing is measured and searched again. Raises
    MocoError for what cannot be trained whatever is measured.
    """
    kept = distributed.on_main(lambda: _kept(run, recipe, ask))
    if kept is not None:
        return kept
    if recipe == "auto" and _is_measured(ask, looked.source):
        _refuse_to_measure(machine)
        if not ask.length_is_set and ask.changes.get("first_sizes"):
            raise MocoError(
                "--first-sizes: the steps that fit a time are told from what one costs, and here the first cost less; "
                "say how long the run is with --epochs or --steps"
            )
        refuse(usual(looked.facts, ask), looked.images)
        return None
    return distributed.on_main(
        lambda: choose_recipe(recipe, looked.source, looked.facts, ask.views, ask.changes, tell, looked.made)
    )


def _kept(run: RunDirectory, recipe: str | Recipe, ask: Ask) -> Recipe | None:
    """What `auto` chose when the run began, where it goes on."""
    if recipe != "auto" or not run.checkpoint.exists() or not goes_on(run.read("auto.json"), ask, run.path):
        return None
    return ask.into(run.recipe())


def _is_measured(ask: Ask, source: Source) -> bool:
    """Whether something is open that only trying it out on this machine can tell: the length, or the views."""
    length_is_set = ask.time is None and (ask.length_is_set or source.hints.steps is not None)
    return not (length_is_set and (ask.views_are_set or source.hints.views is not None))


def _refuse_to_measure(machine: Machine) -> None:
    if machine.reproducible:
        raise MocoError(
            "--machine.reproducible: auto fits a run to the time by measuring this machine, never twice the same; name "
            "--steps (or --epochs) and --views, or the recipe.json of a run that was fitted"
        )


def refuse(recipe: Recipe, source: Source) -> None:
    """Raise MocoError for what cannot be trained on so many images, or at all."""
    check(recipe)
    if len(source) < recipe.batch:
        raise MocoError(
            f"{len(source)} images are fewer than one batch of {recipe.batch}; "
            + ("lower --batch, or use the recipe auto" if len(source) >= FEWEST_IMAGES else "give more images")
        )
    refuse_a_queue_larger_than_the_data(recipe, len(source))
    refuse_unknown(recipe.encoder.backbone)
