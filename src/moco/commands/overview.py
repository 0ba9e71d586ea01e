"""All runs of a folder at a glance: what `moco ls` prints and `moco watch` shows, from their files alone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from moco.data.loader import Plan
from moco.data.names import printable
from moco.errors import MocoError
from moco.recipe import Recipe
from moco.run.directory import RunDirectory
from moco.run.log import number_in
from moco.run.state import Held, State, runs_below
from moco.run.tail import Tail


@dataclass(frozen=True)
class Line:
    """A run."""

    run: str
    """Its path below the folder."""
    state: State
    recipe: str
    images: int
    step: int
    steps: int
    """That it will make; 0 where it cannot be told."""
    loss: float | None
    knn: float | None
    images_per_second: float | None
    seconds_left: float | None
    """Of a run that goes on."""
    level: str
    health: str
    damaged: int
    """Lines of its log that are no rows."""


@dataclass
class _Seen:
    """What is known of a run, and need not be read again."""

    tail: Tail
    recipe: str = ""
    batch: int = 0
    images: int = 0
    steps: int = 0
    trouble: str = ""
    mark: tuple[int, int] = (0, 0)


@dataclass
class Overview:
    """The runs below a folder; each look reads only what was written since the last."""

    folder: Path
    _seen: dict[Path, _Seen] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise MocoError(f"{self.folder} is no folder; name the one that runs are in")

    def look(self) -> list[Line]:
        """All runs as they are now, by name."""
        held = Held.now()
        paths = list(runs_below(self.folder))
        for gone in self._seen.keys() - set(paths):
            del self._seen[gone]
        lines = [self._line(path, held) for path in paths]
        self._paths = {line.run: path for line, path in zip(lines, paths, strict=True)}
        return lines

    def tail(self, run: str) -> Tail | None:
        """The log of a run that the last look has found, by the name that it gave; None for any other name."""
        path = self._paths.get(run)
        return None if path is None else self._seen[path].tail

    def _line(self, path: Path, held: Held) -> Line:
        seen = self._seen.setdefault(path, _Seen(Tail(path / "log.jsonl")))
        _about(seen, path)
        tail = seen.tail
        tail.read()
        state = held.state(path, tail.step, seen.steps)
        last, rate = tail.last, number_in(tail.last, "images_per_second")
        left = None
        if state == "running" and rate and seen.steps > tail.step:
            left = (seen.steps - tail.step) * seen.batch / rate
        health = str(last.get("health", "")) or seen.trouble or "no step has been written down yet"
        return Line(
            run=printable(str(path.relative_to(self.folder))),
            state=state,
            recipe=printable(seen.recipe),
            images=seen.images,
            step=tail.step,
            steps=seen.steps,
            loss=number_in(last, "loss"),
            knn=number_in(last, "knn"),
            images_per_second=rate,
            seconds_left=left,
            level="bad" if seen.trouble else str(last.get("level", "none")),
            health=health,
            damaged=tail.damaged,
        )


def _about(seen: _Seen, path: Path) -> None:
    """Read the recipe and the record of the images, where they are new."""
    run = RunDirectory(path)
    try:
        stat = (path / run.recipe_name).stat()
    except OSError:
        return
    mark = (stat.st_size, stat.st_mtime_ns)
    if mark == seen.mark:
        return
    try:
        recipe: Recipe = run.recipe()
        seen.images = int(run.read("data.json").get("images", 0))
        seen.recipe, seen.batch, seen.trouble = recipe.name, recipe.batch, ""
        seen.steps = Plan(seen.images, recipe.batch, recipe.epochs, recipe.seed, recipe.steps).steps
    except (MocoError, ValueError, ZeroDivisionError) as error:
        seen.trouble = str(error).splitlines()[0]
    seen.mark = mark


def as_json(lines: list[Line]) -> str:
    """The runs as a list of objects."""
    return json.dumps([as_row(line) for line in lines], indent=1) + "\n"


def as_row(line: Line) -> dict[str, Any]:
    """One of them."""
    return asdict(line)


def as_table(lines: list[Line]) -> tuple[list[str], list[list[str]]]:
    """Head and rows for a terminal."""
    head = ["run", "state", "recipe", "images", "step", "kNN", "health"]
    rows = [
        [
            line.run,
            line.state,
            line.recipe,
            f"{line.images:,}" if line.images else "",
            f"{line.step:,}" + (f"/{line.steps:,}" if line.steps else ""),
            "" if line.knn is None else f"{line.knn:.1%}",
            line.health.split(";")[0] + (f" ({line.damaged} damaged lines in its log)" if line.damaged else ""),
        ]
        for line in lines
    ]
    return head, rows
