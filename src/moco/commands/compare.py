"""`moco compare`: one page about several runs, also those of a study or a search."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from moco.commands.overview import Overview
from moco.commands.tell import Silent, Teller
from moco.data.open import open_source
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.source import Source
from moco.device import Placement, place
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.machine import Machine
from moco.pages.compared import Alike, Compared, compare_html
from moco.pages.pictures import Neighbours, budget, neighbours
from moco.preprocess import Preprocess
from moco.protocols.result import read_results
from moco.recipe import Recipe
from moco.run.atomic import write_text
from moco.run.directory import BEGINNING, RunDirectory, is_run
from moco.run.encoder_file import read_encoder
from moco.run.log import readable_rows
from moco.run.state import runs_below

MOST = 40
"""Runs on a page."""

PICTURED = 6
"""Runs whose neighbours are shown."""


def compare(
    folders: Sequence[str | os.PathLike[str]], out: Path, *, pictures: bool = True, tell: Teller | None = None
) -> Path:
    """Write one page about the runs, or all runs in the folders, to `out`; its path.

    Raises MocoError where fewer than two runs are named. Runs whose files are damaged are left out, which is said on
    the page; so are the neighbours of those beyond PICTURED, and runs beyond MOST.
    """
    tell = tell or Silent()
    paths = _runs(folders)
    notes = []
    if len(paths) > MOST:
        notes.append(f"{len(paths)} runs were named; these are the first {MOST} of them.")
        paths = paths[:MOST]
    runs, there = [], []
    for name, path in _named(paths).items():
        try:
            run, said = _compared(name, path)
        except MocoError as error:
            notes.append(f"{name} is left out: {error}.")
            continue
        runs.append(run)
        there.append(path)
        notes += said
    if len(runs) < 2:
        raise MocoError(" ".join(notes) or "two runs at least are compared")
    alike, searched = _alike(list(zip(runs, there, strict=True))[:PICTURED], notes, tell) if pictures else ([], 0)
    write_text(out, compare_html(runs, alike, searched, notes))
    tell.note(f"{out}: {len(runs)} runs")
    return out


def _runs(folders: Sequence[str | os.PathLike[str]]) -> list[Path]:
    found: list[Path] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise MocoError(f"{folder} is no folder; name runs, or a folder with runs such as that of a study")
        inside = [folder] if is_run(folder) else list(runs_below(folder))
        if not inside:
            raise MocoError(f"{folder} is no run and holds none; name runs, or a folder with runs")
        found += [path for path in inside if path not in found]
    if not found:
        raise MocoError("no runs are named; name at least two, or a folder with several")
    if len(found) < 2:
        raise MocoError(f"{found[0]} is one run alone; name at least two, or a folder with several")
    return found


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Each by the end of its path, as short as tells them apart."""
    whole = [path.resolve() for path in paths]
    for length in range(1, 9):
        names = ["/".join(path.parts[-length:]) for path in whole]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
    return {str(path): path for path in paths}


def _compared(name: str, path: Path) -> tuple[Compared, list[str]]:
    run = RunDirectory(path)
    recipe, (rows, damaged) = run.recipe(), readable_rows(run.log)
    results, bad = read_results(run.evaluations)
    notes = [f"{name}: an evaluation is left out: {sentence}." for sentence in bad]
    if damaged:
        notes.append(f"{name}: {damaged} damaged {'line' if damaged == 1 else 'lines'} of its log left out.")
    about = {
        "images (--data)": str(run.read("data.json").get("data", "")),
        "started from (--init)": str(run.read(BEGINNING).get("init", "random weights")),
        "computed in": str(run.read("machine.json").get("placement", "")).partition(":")[0],
        "version of moco": str(run.read("environment.json").get("moco", "")),
    }
    state = Overview(path).look()[0].state
    return Compared(name, recipe, rows, results, about, state, damaged), notes


def _alike(runs: Sequence[tuple[Compared, Path]], notes: list[str], tell: Teller) -> tuple[list[Alike], int]:
    """The same query images, and what each encoder finds most similar among the same images."""
    named = [(run, path) for run, path in runs if RunDirectory(path).encoder.exists()]
    if not named:
        notes.append("Neighbours are left out: no run has an encoder yet; it is written with the first checkpoint.")
        return [], 0
    try:
        source = open_source(named[0][0].about["images (--data)"])
    except MocoError as error:
        notes.append(f"Neighbours are left out: the images of {named[0][0].name} cannot be opened: {error}.")
        return [], 0
    if len({run.about["images (--data)"] for run, _ in named}) > 1:
        notes.append(f"The runs are on different images; neighbours are looked up among those of {named[0][0].name}.")
    opened = []
    for run, path in named:
        try:
            opened.append((run.name, *read_encoder(RunDirectory(path).encoder)))
        except MocoError as error:
            notes.append(f"The neighbours of {run.name} are left out: {error}.")
    if not opened:
        return [], 0
    placement = place(Machine(precision="fp32"))
    made: list[tuple[str, Neighbours]] = []
    images = min(_affordable(source, encoder, recipe, placement) for _, encoder, recipe, _ in opened)
    for name, encoder, recipe, _ in opened:
        tell.note(f"looking up images by {name}")
        try:
            made.append(
                (name, neighbours(_shown(source, recipe), encoder.backbone, Preprocess.of(recipe), placement, images))
            )
        except MocoError as error:
            notes.append(f"The neighbours of {name} are left out: {error}.")
    if not made:
        return [], 0
    queries = [query for query, _ in made[0][1].rows]
    found = [
        Alike(query, [(name, one.rows[n][1]) for name, one in made if one.rows[n][0].name == query.name])
        for n, query in enumerate(queries)
    ]
    return found, made[0][1].searched


def _affordable(source: Source, encoder: Encoder, recipe: Recipe, placement: Placement) -> int:
    preprocess = Preprocess.of(recipe)
    return budget(_shown(source, recipe), encoder.backbone, preprocess.size, preprocess.channels, placement).searched


def _shown(source: Source, recipe: Recipe) -> Source:
    return seen(pieces(source, recipe.pixels), recipe.pixels)
