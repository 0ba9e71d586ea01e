"""`moco report` of a transfer: tables, curves and page again, at any moment of it."""

from __future__ import annotations

from pathlib import Path

from moco.commands.transfer_page import write_page
from moco.errors import MocoError
from moco.run.directory import RunDirectory
from moco.transfer.curves import draw_curves
from moco.transfer.recipe import RECIPE, Trial
from moco.transfer.results import Outcome, headline, write_results


def report_transfer(path: Path) -> Path:
    """Write results.md, results.json, curves.png and report.html of the runs in `path`, from what there is now.

    The first start is the one that was begun first. Raises MocoError where no run has been judged yet.
    """
    folders = sorted((p.parent for p in path.glob(f"*/{RECIPE}")), key=lambda f: (f / RECIPE).stat().st_mtime_ns)
    trials = [RunDirectory(folder, RECIPE).recipe_of(Trial) for folder in folders]
    outcomes = [Outcome.read(folder, t.start, t) for folder, t in zip(folders, trials, strict=True)]
    judged = [one for one in outcomes if one.rows]
    if not judged:
        raise MocoError(f"{path} has no run that was judged yet; a report is written when there is one")
    recipe = judged[0].trial.recipe
    write_results(path, recipe, judged)
    draw_curves(path / "curves.png", headline(recipe), judged)
    return write_page(path, recipe, judged, sorted((path / "pictures").glob("*.png")))
