"""Curves as SVG inside the page: small, drawn in a few milliseconds, in the page's own colours by day and by night."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIZES = {"wide": (560, 290), "half": (452, 240), "third": (300, 200)}
"""Units of a picture; those of a wide one are pixels on a page 1,040 px wide."""

MOST_POINTS = 400
"""Points of a curve; more are averaged in groups, so that a long run makes no large page."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 30, 42


@dataclass(frozen=True)
class Line:
    """A curve over steps (both N values, N >= 1), its name in the legend, and which colour of the page it has."""

    name: str
    steps: Floats
    values: Floats
    tone: str = "first"
    """A class of the page's style: "first", "second", or those of runs that are compared."""


@dataclass(frozen=True)
class Plot:
    """What is drawn: curves from step 0 to `last`, between two values."""

    lines: Sequence[Line]
    last: float
    low: float
    high: float
    percent: bool = False
    level: tuple[float, str] | None = None
    """A dashed line at this value, and what it is."""
    shaded: tuple[float, str] | None = None
    """Everything up to this step, and what it is."""
    legend: bool = True
    across: str = "step"
    """What the curves are over, from 0 to `last`: whole steps, or something else."""


def svg(plot: Plot, size: str, title: str) -> str:
    """The picture, with a sentence for those who cannot see it."""
    width, height = SIZES[size]
    frame = _Frame(plot, width, height)
    parts = [*_shade(plot, frame), *_grid(plot, frame, 3 if size == "third" else 5), *_level(plot, frame)]
    parts += [mark for line in plot.lines for mark in _curve(line, frame)]
    parts += _beyond(plot, frame)
    parts += _legend(plot, frame) if plot.legend else []
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(said(plot, title))}">'
        f"{''.join(parts)}</svg>"
    )


def said(plot: Plot, title: str) -> str:
    """Where each curve begins and ends, in words."""
    ends = [
        f"{line.name} {_number(line.values[0], plot)} at {plot.across} {line.steps[0]:,.0f}"
        + (f", {_number(line.values[-1], plot)} at {plot.across} {line.steps[-1]:,.0f}" if len(line.steps) > 1 else "")
        for line in plot.lines
    ]
    return f"{title} by {plot.across}: {'; '.join(ends)}"


def csv(lines: Sequence[Line], across: str = "step") -> str:
    """The curves as a table, as they are drawn: what they are over, then a column for each."""
    table: dict[float, dict[str, float]] = {}
    for line in lines:
        for step, value in zip(thin(line.steps).tolist(), thin(line.values).tolist(), strict=True):
            table.setdefault(step, {})[line.name] = value
    names = [line.name for line in lines]
    head = ",".join([across, *(_quoted(name) for name in names)])
    rows = [
        ",".join([f"{step:.6g}", *(f"{row[n]:.6g}" if n in row else "" for n in names)])
        for step, row in sorted(table.items())
    ]
    return "\n".join([head, *rows]) + "\n"


def _quoted(name: str) -> str:
    """A name as a cell of a table."""
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\n\r') else name


def thin(values: Floats, most: int = MOST_POINTS) -> Floats:
    """At most so many means of neighbouring values."""
    if len(values) <= most:
        return values
    return np.array([part.mean() for part in np.array_split(values, most)])


def ticks(low: float, high: float, most: int, whole: bool = False) -> Floats:
    """At most `most` + 1 round values between two, a multiple of 1, 2 or 5 apart."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10, 20) if span / (m * power) <= most)
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return np.asarray(np.arange(first, last + 1) * step, dtype=np.float64)


class _Frame:
    """Where values lie in the picture."""

    def __init__(self, plot: Plot, width: int, height: int) -> None:
        self.left, self.right = _LEFT, width - _RIGHT
        self.top, self.bottom = _TOP if plot.legend else 12, height - _BOTTOM
        self._last, self._low = plot.last if plot.last > 0 else 1, plot.low
        self._span = max(plot.high - plot.low, 1e-12)

    def x(self, steps: Floats) -> Floats:
        """Of steps."""
        return self.left + 6 + (self.right - self.left - 12) * steps / self._last

    def y(self, values: Floats) -> Floats:
        """Of values; those beyond the picture lie at its edge."""
        share = np.clip((values - self._low) / self._span, 0, 1)
        return self.bottom - (self.bottom - self.top) * share


def _grid(plot: Plot, frame: _Frame, most: int) -> list[str]:
    parts = [f'<path class="axis" d="M{frame.left} {frame.top}V{frame.bottom}H{frame.right}"/>']
    values = ticks(plot.low, plot.high, 5)
    for value, y in zip(values.tolist(), frame.y(values).tolist(), strict=True):
        parts.append(f'<path class="rule" d="M{frame.left} {y:.1f}H{frame.right}"/>')
        shown = _tick(value, float(values[1] - values[0]) if len(values) > 1 else abs(value) or 1.0, plot.percent)
        parts.append(f'<text class="y" x="{frame.left - 8}" y="{y + 4:.1f}">{shown}</text>')
    steps = ticks(0, plot.last if plot.last > 0 else 1, most, whole=plot.across == "step")
    for step, x in zip(steps.tolist(), frame.x(steps).tolist(), strict=True):
        parts.append(f'<text class="x" x="{x:.1f}" y="{frame.bottom + 17}">{_short(step, plot.last)}</text>')
    middle = (frame.left + frame.right) / 2
    parts.append(f'<text class="x" x="{middle:.0f}" y="{frame.bottom + 35}">{html.escape(plot.across)}</text>')
    return parts


def _curve(line: Line, frame: _Frame) -> list[str]:
    """The curve; where it has many points, these pale, and their running mean over a tenth of the picture on top."""
    x, y = frame.x(thin(line.steps)), thin(line.values)
    kind = f"line {line.tone}"
    if len(x) >= 60:
        pale = f'<path class="{kind} pale" d="{_path(x, frame.y(y))}"/>'
        return [pale, f'<path class="{kind}" d="{_path(x, frame.y(_smooth(y, len(y) // 20)))}"/>']
    parts = [f'<path class="{kind}" d="{_path(x, frame.y(y))}"/>'] if len(x) > 1 else []
    if len(x) < 25:
        spots = zip(x.tolist(), frame.y(y).tolist(), strict=True)
        parts += [f'<circle class="dot {line.tone}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>' for a, b in spots]
    return parts


def _beyond(plot: Plot, frame: _Frame) -> list[str]:
    """What the highest and the lowest value are, where they lie beyond the picture and are drawn at its edge."""
    steps = np.concatenate([thin(line.steps) for line in plot.lines])
    values = np.concatenate([thin(line.values) for line in plot.lines])
    parts = []
    for at, arrow, y in ((values.argmax(), "↑", frame.top + 11), (values.argmin(), "↓", frame.bottom - 6)):
        if plot.low <= values[at] <= plot.high:
            continue
        x = float(frame.x(steps[at : at + 1])[0])
        right = x > (frame.left + frame.right) / 2
        parts.append(
            f'<text class="{"y" if right else "key"}" x="{x - 8 if right else x + 8:.1f}" y="{y:.0f}">'
            f"{arrow} {_number(values[at], plot)}</text>"
        )
    return parts


def _path(x: Floats, y: Floats) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))


def _level(plot: Plot, frame: _Frame) -> list[str]:
    if plot.level is None:
        return []
    y = float(frame.y(np.array([plot.level[0]]))[0])
    return [f'<path class="level" d="M{frame.left} {y:.1f}H{frame.right}"/>']


def _shade(plot: Plot, frame: _Frame) -> list[str]:
    if plot.shaded is None:
        return []
    end = float(frame.x(np.array([plot.shaded[0]]))[0])
    wide = min(end, frame.right) - frame.left
    return [
        f'<rect class="shade" x="{frame.left}" y="{frame.top}" width="{wide:.1f}" height="{frame.bottom - frame.top}"/>'
    ]


def _legend(plot: Plot, frame: _Frame) -> list[str]:
    entries = [(f"line {line.tone}", line.name) for line in plot.lines]
    entries += [("level", plot.level[1])] if plot.level else []
    entries += [("shade", plot.shaded[1])] if plot.shaded else []
    room = frame.right - frame.left - 40 * len(entries)
    letter = min(10.2, max(8.6, room / sum(len(name) for _, name in entries)))  # wide enough for a phone's larger type
    x, parts = float(frame.left), []
    for kind, name in entries:
        mark = f'<path class="{kind}" d="M{x:.0f} 14H{x + 20:.0f}"/>'
        if kind == "shade":
            mark = f'<rect class="shade" x="{x:.0f}" y="8" width="20" height="12"/>'
        parts.append(f'{mark}<text class="key" x="{x + 26:.0f}" y="18">{html.escape(name)}</text>')
        x += 26 + letter * len(name) + 14
    return parts


def _smooth(values: Floats, width: int) -> Floats:
    """The mean of the middle half of each value and `width` on either side, fewer at the ends."""
    smooth = np.empty(len(values))
    for i in range(len(values)):
        near = np.sort(values[max(0, i - width) : i + width + 1])
        quarter = len(near) // 4
        smooth[i] = near[quarter : len(near) - quarter].mean()
    return smooth


def _tick(value: float, apart: float, percent: bool) -> str:
    value, apart = (100 * value, 100 * apart) if percent else (value, apart)
    places = max(0, -math.floor(math.log10(apart) + 1e-9))
    return f"{value + 0.0:,.{places}f}{'%' if percent else ''}" if places < 6 else f"{value:.0e}"


def _short(step: float, largest: float) -> str:
    """A number of steps, or of minutes, in few letters, all of one axis alike."""
    size, letter = next(((s, c) for s, c in ((1e6, "M"), (1e3, "k")) if largest >= 10 * s), (1, ""))
    return f"{step / size:,.4g}{letter if step else ''}" if letter else f"{round(step, 9):,.9g}"


def _number(value: float, plot: Plot) -> str:
    return f"{value:.1%}" if plot.percent else f"{value:.3g}"
