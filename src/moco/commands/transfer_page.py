"""report.html of a transfer: the tables, the curves and the pictures, in one file that needs no other."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from moco.data.names import printable
from moco.pages.style import digest, script, style, template
from moco.recipe.plain import flatten
from moco.run.atomic import write_text
from moco.transfer.recipe import Transfer
from moco.transfer.results import Outcome, headline, in_brackets, tables


def write_page(out: Path, recipe: Transfer, outcomes: Sequence[Outcome], pictures: Sequence[Path]) -> Path:
    """Write report.html into `out`, where curves.png lies already."""
    js = script("page.js").decode()
    seeds = {one.trial.seed for one in outcomes}
    html = template("transfer.html").render(
        task=recipe.name,
        style=style(),
        script=js,
        digest=digest(js),
        facts=_facts(recipe, outcomes),
        tables=tables(recipe, outcomes),
        brackets=in_brackets(outcomes),
        metric=headline(recipe),
        seeds=len(seeds),
        curves=_inside(out / "curves.png"),
        pictures=[(picture.stem, _inside(picture)) for picture in pictures],
        path_in_shell=shlex.quote(str(outcomes[0].folder)),
        path_in_python=json.dumps(str(outcomes[0].folder), ensure_ascii=False),
        settings=[(name, _words(value)) for name, value in flatten(recipe).items()],
    )
    page = out / "report.html"
    write_text(page, printable(html))
    return page


def _facts(recipe: Transfer, outcomes: Sequence[Outcome]) -> list[tuple[str, str, str]]:
    starts = list(dict.fromkeys(one.start for one in outcomes))
    labels = list(dict.fromkeys(f"{one.trial.labels:.0%}" for one in outcomes))
    seeds = len({one.trial.seed for one in outcomes})
    return [
        ("Starts", str(len(starts)), ", ".join(starts)),
        ("Steps", f"{recipe.schedule.steps:,}", f"of {recipe.batch:,} images"),
        ("Labels", ", ".join(labels), "of the annotated images"),
        ("Seeds", str(seeds), "the same for each start"),
    ]


def _inside(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
