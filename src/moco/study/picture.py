"""A study as a picture: ours on the left, the paper's on the right; they share the axis and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moco.study.parts import FAILS, MEASURES, Measure, Study, of_paper
from moco.study.results import CellResult, Line

_COLOURS = ("#2f6fbf", "#d9822b", "#3a9c6b", "#8a5fb0")
_STYLE: Any = {"axes.spines.right": False, "axes.spines.top": False, "font.size": 9, "legend.frameon": False}


def draw_picture(
    file: BinaryIO,
    study: Study,
    lines: Sequence[Line],
    results: dict[str, list[CellResult]],
    measures: Sequence[Measure],
) -> None:
    """Write a PNG: a row for each measure; `results` holds the seeds of each cell by its label."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 3.2 * len(measures)), layout="constrained")
        panels = figure.subplots(len(measures), 2, squeeze=False)
        for name, (ours, theirs) in zip(measures, panels, strict=True):
            if study.curves:
                _curves(ours, theirs, study, results, name)
            else:
                _points(ours, theirs, study, lines, name)
            ours.set_title("here", loc="left")
            place, _, what = study.source.partition(": ")
            theirs.set_title(f"the paper ({place})", loc="left")
            ours.set_ylabel(MEASURES[name][0])
            linear = name in ("knn", "rank") and not study.curves
            theirs.set_ylabel(f"{what.split(',')[0]}, %" if linear else MEASURES[name][0])
        figure.suptitle(study.title)
        figure.savefig(file, format="png", dpi=130)


def _points(ours: Axes, theirs: Axes, study: Study, lines: Sequence[Line], name: Measure) -> None:
    ticks = list(dict.fromkeys(cell.x for cell in study.cells))
    paper_name = of_paper(name)
    for number, group in enumerate(dict.fromkeys(cell.group for cell in study.cells)):
        style: Any = {"color": _COLOURS[number % len(_COLOURS)], "marker": "o", "label": group}
        mine = [x for x in lines if x.cell.group == group and name in x.values and not x.failed]
        if mine:
            means = [x.values[name][0] for x in mine]
            spreads = [0.0 if math.isnan(x.values[name][1]) else x.values[name][1] for x in mine]
            bars: Any = {"yerr": spreads, "capsize": 3} if any(spreads) else {}
            ours.errorbar([ticks.index(x.cell.x) for x in mine], means, **bars, **style)
        known = [c for c in study.cells if c.group == group and c.paper.get(paper_name, FAILS) != FAILS]
        if known:
            theirs.plot([ticks.index(c.x) for c in known], [c.paper[paper_name] for c in known], **style)
    failed = [ticks.index(x.cell.x) for x in lines if x.failed]
    fails = [ticks.index(c.x) for c in study.cells if c.paper.get(paper_name) == FAILS]
    for panel, places in ((ours, failed), (theirs, fails)):
        for place in places:
            panel.text(place, 0.02, "fails", transform=panel.get_xaxis_transform(), ha="center", color="#b03030")
        shown = paper_ticks(study, ticks) if panel is theirs else ticks
        panel.set_xticks(range(len(ticks)), shown, rotation=20 if _broadest(shown) > 10 else 0)
        panel.set_xlim(-0.4, len(ticks) - 0.6)
        panel.set_xlabel(study.axis)
        if len(panel.get_legend_handles_labels()[1]) > 1:
            panel.legend()


def _broadest(labels: Sequence[str]) -> int:
    return max(len(part) for label in labels for part in label.split("\n"))


def paper_ticks(study: Study, ticks: list[str]) -> list[str]:
    """The paper's own axis: where the sizes of a study were fitted to the data, the paper's were others."""
    own = {cell.x: cell.paper_x for cell in study.cells if cell.paper_x}
    return [own.get(x, "") for x in ticks] if own else ticks


def _curves(ours: Axes, theirs: Axes, study: Study, results: dict[str, list[CellResult]], name: Measure) -> None:
    for number, cell in enumerate(study.cells):
        colour = _COLOURS[number % len(_COLOURS)]
        for seed, result in enumerate(results.get(cell.label, [])):
            points = [(x, y * MEASURES[name][1]) for x, y in result.curves.get(name, [])]
            if points:
                ours.plot(*zip(*points, strict=True), color=colour, label=cell.label if seed == 0 else None)
        points = list(study.curves[cell.label].get(of_paper(name), ()))
        if points:
            theirs.plot(*zip(*points, strict=True), color=colour, label=cell.label)
    for panel in (ours, theirs):
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.get_legend_handles_labels()[1]:
            panel.legend()
