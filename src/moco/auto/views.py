"""The choice of views without labels: short runs with each set, compared by what they learnt (scores/probe.py).

Successive halving, with trials that go on where they stopped: every set trains for a third of the longest trial, and
the better third of them to its end. Where the time is too short for that, the first few are compared once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moco import distributed
from moco.auto.trial import Trial
from moco.encoder import Encoder
from moco.halving import cost, rungs, survivors
from moco.scores.probe import Found, merit

RUNGS = 2

FEWEST_STEPS = 60
"""Steps of the longest trial of all sets below which only a few are tried: a third of that few tells nothing."""

FEW = 3
"""The first so many are tried then."""

FEWEST_OF_FEW = 40
"""Steps of their trials below which no choice is made."""

MOST_STEPS = 1000
"""Steps of the longest trial that suffice."""


@dataclass(frozen=True)
class Tried:
    """One set of views, as far as it came."""

    views: str
    steps: int
    scores: Found
    merit: float
    """Among the sets that came as far, in standard deviations."""


@dataclass(frozen=True)
class Searched:
    """The set that was chosen, those that were tried (the best of each rung first), and the seconds it took."""

    views: str
    tried: list[Tried]
    seconds: float
    why: str = ""
    """Why nothing had to be tried, where that is so."""


@dataclass(frozen=True)
class Course:
    """The sets that are tried, and the steps after which those that are left are compared; neither where time lacks."""

    candidates: Sequence[str]
    rungs: Sequence[int]

    def seconds(self, step: float, probe: float) -> float:
        """What it takes, given the seconds of a step and of a look."""
        count = len(self.candidates)
        looks = count + (survivors(count) if len(self.rungs) > 1 else 0)
        return cost(count, self.rungs) * step + looks * probe


def longest(candidates: Sequence[str], seconds: float, step: float, probe: float) -> Course:
    """The longest trials that fit into so many seconds, given those of a step and of a look: of all sets, or of few."""
    for some, number, fewest in ((candidates, RUNGS, FEWEST_STEPS), (candidates[:FEW], 1, FEWEST_OF_FEW)):
        steps = MOST_STEPS
        while steps >= fewest:
            course = Course(some, rungs(steps, number))
            if course.seconds(step, probe) <= seconds:
                return course
            steps = int(steps * 0.9)
    return Course((), ())


def search(
    course: Course,
    begin: Callable[[str], Trial],
    probe: Callable[[Encoder], Found],
    deadline: float = float("inf"),
) -> Searched:
    """The best of the candidates; trials are begun by `begin` and looked at by `probe`.

    A set whose loss leaves the finite numbers is out. Past `deadline` (of time.monotonic) no further rung is begun.
    """
    start = time.monotonic()
    running = {name: begin(name) for name in course.candidates}
    last: dict[str, Tried] = {}
    for rung in course.rungs:
        (late,) = distributed.largest([int(time.monotonic() > deadline)])
        if last and (len(running) == 1 or late):
            break
        for trial in running.values():
            trial.go(rung)
        running = {name: trial for name, trial in running.items() if trial.finite()}
        if not running:
            break
        scores = {name: probe(trial.encoder) for name, trial in running.items()}
        merits = dict(zip(scores, merit(list(scores.values())), strict=True))
        last |= {name: Tried(name, rung, scores[name], merits[name]) for name in running}
        kept = sorted(running, key=lambda name: -merits[name])[: survivors(len(running))]
        running = {name: running[name] for name in kept}
    ranking = sorted(last.values(), key=lambda one: (-one.steps, -one.merit))
    return Searched(ranking[0].views if ranking else course.candidates[0], ranking, time.monotonic() - start)
