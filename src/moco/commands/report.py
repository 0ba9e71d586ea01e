"""`moco report`: one page about a run, at any moment of it."""

from __future__ import annotations

import os
from pathlib import Path

from moco.arguments import of_its_types
from moco.commands.pairs import groups_of
from moco.data.groups import Groups
from moco.data.open import open_source
from moco.data.picture import shown_words
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.source import Source, fingerprint
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.pages.alike import shown_reasons
from moco.pages.page import Pictures, page
from moco.pages.pairs import hardest
from moco.pages.pictures import budget, neighbours, view_rows
from moco.preprocess import Preprocess
from moco.protocols.result import read_results
from moco.recipe import Recipe
from moco.run.atomic import write_text
from moco.run.directory import RunDirectory, find_run
from moco.run.encoder_file import read_encoder

EXPLAINED = 4
"""Pairs of neighbours whose reasons are looked for."""


@of_its_types()
def report(path: str | os.PathLike[str]) -> Path:
    """Write `report.html` into the run at `path`, from what is there now; its path. Raises MocoError if it is no run.

    Where the images cannot be opened any more, or there is no encoder yet, the page is made without them and says so.
    """
    return draw(Path(path))[0]


def draw(path: Path) -> tuple[Path, Pictures]:
    """The same, and what was made of the images."""
    run = find_run(path)
    pictures = _pictures(run)
    results, damaged = read_results(run.evaluations)
    pictures.notes += [f"An evaluation is left out: {sentence}." for sentence in damaged]
    write_text(run.report, page(run, results, pictures))
    return run.report, pictures


def _pictures(run: RunDirectory) -> Pictures:
    pictures = Pictures()
    record = run.read("data.json")
    if not record:
        pictures.notes.append("The pictures of images are left out: this run does not say which images it is about.")
        return pictures
    try:
        source = open_source(record["data"])
        if fingerprint(source) != record["fingerprint"]:
            pictures.notes.append(
                f"{record['data']} is no longer what this run was started on ({record['images']:,} images then, "
                f"{len(source):,} now); the pictures below show what is there now."
            )
        recipe = run.recipe()
        source = pieces(source, recipe.pixels)
        if said := shown_words(recipe.pixels):
            pictures.notes.append(said)
        pictures.views = view_rows(seen(source, recipe.pixels), recipe, _groups(run, source, pictures))
    except MocoError as error:
        pictures.notes.append(f"The pictures of images are left out, because the data cannot be opened: {error}.")
        return pictures
    _add_what_it_finds(pictures, run, source)
    return pictures


def _groups(run: RunDirectory, source: Source, pictures: Pictures) -> Groups | None:
    try:
        return groups_of(run, source)
    except MocoError as error:
        pictures.notes.append(f"Keys are shown of the images themselves: {error}.")
        return None


def _add_what_it_finds(pictures: Pictures, run: RunDirectory, source: Source) -> None:
    """Neighbours, the reasons for them, and the hardest pairs: what takes an encoder."""
    if not run.encoder.exists():
        pictures.notes.append("The nearest neighbours are left out: the encoder is written with the first checkpoint.")
        return
    try:
        encoder, recipe, step = read_encoder(run.encoder)
        preprocess = Preprocess.of(recipe)
        placement = place(Machine(precision="fp32"))
        images = seen(source, recipe.pixels)
        may = budget(images, encoder.backbone, preprocess.size, preprocess.channels, placement)
        pictures.neighbours = neighbours(images, encoder.backbone, preprocess, placement, may.searched)
        pictures.pairs = hardest(images, encoder, recipe, placement, may.paired, _epoch(step, recipe, len(images)))
    except MocoError as error:
        pictures.notes.append(f"The nearest neighbours are left out: {error}.")
        return
    try:
        pairs = pictures.neighbours.pairs[:EXPLAINED]
        pictures.reasons = shown_reasons(images, encoder.backbone, preprocess, placement, pairs, may.passes)
    except MocoError as error:
        pictures.notes.append(f"What makes images alike is left out: {error}.")


def _epoch(step: int, recipe: Recipe, images: int) -> int:
    """The epoch after the last whole one of an encoder: views that it has not been trained on."""
    return step // max(1, images // recipe.batch) + 1
