"""`auto` at work: the time, the machine and the images decide network, length and views, before a run begins."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from moco import distributed
from moco.auto.budget import CLOSING, SEARCH, Budget, budget, until, words
from moco.auto.plan import Rate, choose, fitting, grown, outlook, rates
from moco.auto.rates import PATIENCE, seconds_an_image, seconds_an_image_while_reading
from moco.auto.sample import sample_in_memory
from moco.auto.trial import Trial
from moco.auto.views import Course, Searched, longest, search
from moco.commands.ask import Ask
from moco.commands.start import Start
from moco.data.labelled import Labelled
from moco.data.loader import apart
from moco.data.memory import Memory
from moco.data.source import Source
from moco.data.survey import Survey
from moco.errors import MocoError
from moco.labelfree import looked_at
from moco.recipe import Recipe, check, override
from moco.recipe.auto import Choice, DataFacts, Length, Network, auto, networks
from moco.recipe.views import CANDIDATES, UNTURNED
from moco.scores.probe import UPRIGHT, Found, Probe, told_by_colour
from moco.training import Training

A_LOOK = 6 / 4
"""Steps' work for each image of a look at the encoder without labels: it passes six forms of it, forward alone."""

MEASURING = 0.01
"""Share of the budget for which the steps of one network are timed, at most; twice as long for the one to be taken."""

READING = 0.04
"""Share of the budget for which steps whose images are read as they go are timed, at most."""

ENOUGH = 300
"""Steps of a trial that suffice to compare views; a smaller network is taken for trials where it allows more."""

NEIGHBOURS = 20
"""k of the kNN that `--watch` measures, at most; the 200 of the papers are more than many a set has in a class."""

UNTRIED = CANDIDATES[0]
"""The set of views for runs that are too short to try any, where the images ask for no other."""


def usual(facts: Survey, ask: Ask) -> Recipe:
    """What `auto` would take without a look at the machine, with what the user set: to be refused before anything."""
    recipe, _ = auto(DataFacts(facts.images, facts.short_side), ask.made.views or UNTRIED, None, ask.fixed)
    return ask.into(recipe)


def fit(
    start: Start, ask: Ask, began: float, watched: Labelled | None, first: Callable[[Training], object] | None = None
) -> Recipe:
    """The recipe, chosen by measuring; tells each choice, and writes auto.json with what was measured.

    `began` is when the command was started (time.monotonic), `watched` what `--watch` looks at; `first` puts into a
    training at step 0 what the run starts from, if that is not random, so that views are compared from there.
    """
    return _Fit(start, ask, began, watched, first).recipe()


class _Fit:
    def __init__(
        self,
        start: Start,
        ask: Ask,
        began: float,
        watched: Labelled | None,
        first: Callable[[Training], object] | None,
    ) -> None:
        self._start, self._ask, self._began, self._first = start, ask, began, first
        self._judging, self._watched = ({}, 0) if watched is None else (_judging(watched), _looked_at(watched))
        self._fixed = ask.fixed
        self._loose = {k: v for k, v in self._fixed.items() if k not in ("epochs", "steps")}
        self._facts = DataFacts(start.facts.images, start.facts.short_side)
        self._budget = budget(ask.time, start.placement.device.type) if not ask.length_is_set else None
        self._fast: list[str] | None = None
        self._memory: Memory | None = None

    def recipe(self) -> Recipe:
        start, fixed = self._start, self._fixed
        if self._budget is None:
            recipe, _ = self._auto(self._facts, self._untried, fixed)
            steps = recipe.length(self._facts.images // recipe.batch)
            own = Network(recipe.encoder.backbone, recipe.encoder.stem, recipe.image_size, 0)
            found = rates([own], self._measure, 1.0, self._facts.images)
            took = steps * recipe.batch * found[0].seconds * grown(recipe)
            chances = SEARCH * took
        else:
            self._say_the_time(self._budget)
            asked = self._possible(networks(self._facts, fixed))
            left = self._budget.left(self._spent + self._budget.search)
            found = rates(asked, self._measure, left, self._facts.images)
            chances = self._budget.search
        searched = self._views(found, chances)
        views = self._ask.views or (searched.views if searched else self._untried)
        length, said, rest = None, "", 0.0
        if self._budget is not None:
            found = self._again(found, views)
            left = self._left(self._budget, found)
            length, rate = choose(found, left, self._facts.images, words(self._budget.seconds))
            said = outlook(found, left, self._facts.images, length)
            rest = self._budget.left(self._spent) * length.images * rate.seconds / left + CLOSING
        recipe, choices = self._auto(self._facts, views, fixed, length)
        start.tell.choices([self._reason(views, searched), *choices[1:]])
        if said:
            start.tell.note(f"expected end: {until(rest)}; {said}")
        self._write(found, searched, said)
        return recipe

    def _possible(self, asked: list[Network]) -> list[Network]:
        """Those that can be trained with what the user set; raises MocoError, the first one's, where none can."""
        kept, refused = [], None
        for network in asked:
            try:
                check(self._auto(self._facts, self._untried, self._fixed, Length(network, self._facts.images, ""))[0])
            except MocoError as error:
                refused = refused or error
            else:
                kept.append(network)
        if refused is not None and not kept:
            raise refused
        return kept

    @property
    def _untried(self) -> str:
        """The set for a run that is too short to try any; what the user changes of the views is changed of v2's."""
        return self._ask.made.views or ("photos" if self._ask.views_are_set else UNTRIED)

    def _auto(
        self, facts: DataFacts, views: str, fixed: dict[str, Any], length: Length | None = None
    ) -> tuple[Recipe, list[Choice]]:
        recipe, choices = auto(facts, views, None, fixed, length)
        judging = {name: value for name, value in self._judging.items() if name not in fixed}
        return self._ask.into(override(recipe, judging)), choices

    @property
    def _spent(self) -> float:
        (milliseconds,) = distributed.largest([round(1000 * (time.monotonic() - self._began))])
        return milliseconds / 1000

    def _say_the_time(self, given: Budget) -> None:
        whence = "as asked" if given.given else "the default; --time 5m, 2h or 3d sets another"
        self._start.tell.note(f"time: {words(given.seconds)} ({whence}); measuring what this machine can do in it")

    def _left(self, given: Budget, found: list[Rate]) -> float:
        """Seconds for steps: without the looks at the encoder on the way, told from the rate of the steps."""
        left = given.left(self._spent)
        rate = fitting(found, left, self._facts.images)[-1]
        recipe, _ = self._auto(
            self._facts, self._untried, self._fixed, Length(rate.network, int(left / rate.seconds), "")
        )
        steps = max(1, recipe.steps or 0)
        looks = 1 + steps / apart(steps)
        images = A_LOOK * looked_at(self._facts.images, recipe) + self._watched / 4
        return max(left - looks * images * rate.seconds, left / 2)

    def _images(self, size: int) -> Memory:
        if self._start.memory is not None:
            return self._start.memory
        if self._memory is None:
            self._memory = sample_in_memory(self._start.source, max(size, 64), self._start.machine.decoders)
        return self._memory

    def _trial(self, network: Network, views: str, steps: int, source: Source | None = None) -> Trial:
        """A short run on these images, or those of `source` as they are read, fitted as a run so long would be."""
        memory = self._images(network.size)
        images = len(memory) if source is None else len(source)
        facts = DataFacts(images, self._facts.short_side)
        length = Length(network, steps * 128, "a trial")
        fixed = self._loose | {"steps": steps, "epochs": None}
        recipe, _ = self._auto(facts, views, fixed, length)
        trial = Trial(recipe, memory, self._start.placement, self._start.machine, self._fast, self._first, source)
        self._fast = trial.fast
        return trial

    def _measure(self, network: Network, views: str = "") -> float:
        """Seconds that a training takes for one image, here and now, with these views; before any is known, untried."""
        trial = self._trial(network, views or self._untried, 10_000)
        share = 2 * MEASURING if views else MEASURING
        patience = min(PATIENCE, share * self._budget.seconds) if self._budget is not None else PATIENCE
        return seconds_an_image(trial, self._start.unread, self._start.machine, patience)

    def _while_reading(self, network: Network, views: str, told: float) -> float:
        """The same for a run that reads its images as it goes; `told` where it does not, or where that takes long."""
        if self._budget is None:
            return told
        begin: Callable[[Source], Trial] = lambda source: self._trial(network, views, 10_000, source)  # noqa: E731
        patience = READING * self._budget.seconds
        return seconds_an_image_while_reading(begin, self._start.unread, self._start.machine, told, patience)

    def _again(self, found: list[Rate], views: str) -> list[Rate]:
        """The network that is likely to be taken is measured once more, for longer, with the views of the run.

        What reading adds to it is added to the others.
        """
        likely = self._likely(found)
        seconds = self._measure(likely.network, views)
        read = self._while_reading(likely.network, views, seconds)
        reading = max(0.0, read - seconds)
        return [dataclasses.replace(rate, seconds=read if rate is likely else rate.seconds + reading) for rate in found]

    def _views(self, found: list[Rate], seconds: float) -> Searched | None:
        """The search, with the largest network that leaves each set of views enough steps; None where none does."""
        if self._ask.views_are_set:
            return None
        start, course, chosen = self._spent, Course((), ()), None
        for rate in reversed(found[: 1 + found.index(self._likely(found))]):
            allowed, probe = self._allowed(rate, seconds)
            if _extent(allowed) > _extent(course):
                course, chosen = allowed, (rate.network, probe)
            if len(course.candidates) == len(self._ask.candidates) and course.rungs[-1] >= ENOUGH:
                break
        if chosen is None:
            return None
        network, probe = chosen
        if why := self._without_up_and_down(network, probe):
            return Searched(self._ask.made.views or UNTURNED, [], self._spent - start, why)
        tried = ", ".join(course.candidates)
        self._start.tell.note(
            f"trying the views {tried} without labels, up to {course.rungs[-1]} steps each "
            f"({network.backbone}, {network.size} px; at most {words(seconds)})"
        )
        begin: Callable[[str], Trial] = lambda views: self._trial(network, views, course.rungs[-1])  # noqa: E731
        return search(course, begin, probe, time.monotonic() + seconds)

    def _without_up_and_down(self, network: Network, probe: Probe) -> str:
        """Why quarter turns of these images mean nothing, so that no probe of them could choose; "" where they do."""
        encoder = self._trial(network, self._untried, 1).encoder
        turns, gray = probe(encoder)["rotation"], probe.without_colour(encoder)
        (means_nothing,) = distributed.largest([int(turns < UPRIGHT or told_by_colour(turns, gray, probe.images))])
        if not means_nothing:
            return ""
        return f"no up and down is found: of quarter turns {turns:.0%} are told, {gray:.0%} without colour"

    def _allowed(self, rate: Rate, seconds: float) -> tuple[Course, Probe]:
        """The longest search with this network in so many seconds, and what would look at its encoders."""
        trial = self._trial(rate.network, self._untried, 1)
        probe = Probe(self._images(rate.network.size), trial.recipe, self._start.placement)
        (look,) = distributed.largest([round(1000 * _seconds(lambda: probe(trial.encoder)))])
        return longest(self._ask.candidates, seconds, rate.seconds * trial.recipe.batch, look / 1000), probe

    def _likely(self, found: list[Rate]) -> Rate:
        if self._budget is None:
            return found[-1]
        left = self._budget.left(self._spent + self._budget.search)
        return fitting(found, left, self._facts.images)[-1]

    def _reason(self, views: str, searched: Searched | None) -> Choice:
        if self._ask.views_are_set:
            return Choice("--views", self._ask.views or "of your own", "as named")
        if searched is not None and searched.why:
            return Choice("--views", views, searched.why)
        if searched is None or not searched.tried:
            return Choice("--views", views, "for short runs on any images; the time is too short to try others")
        first = searched.tried[0]
        others = ", ".join(one.views for one in searched.tried[1:])
        return Choice(
            "--views",
            views,
            f"taught most in {first.steps} steps, without labels: {_shown(first.scores)}; then {others}",
        )

    def _write(self, found: list[Rate], searched: Searched | None, said: str) -> None:
        record = {
            "asked": self._ask.as_written(),
            "seconds": self._budget.seconds if self._budget else None,
            "spent": self._spent,
            "rates": [dataclasses.asdict(rate) for rate in found],
            "views": dataclasses.asdict(searched) if searched else None,
            "outlook": said,
        }
        distributed.on_main(lambda: self._start.run.write("auto.json", record))


def _looked_at(watched: Labelled) -> int:
    return len(watched.source) + (len(watched.bank.source) if watched.bank is not None else 0)


def _judging(watched: Labelled) -> dict[str, Any]:
    """kNN as `moco evaluate` has it: by the backbone's features, of no more neighbours than half the smallest class."""
    labels = watched.labels if watched.bank is None else watched.bank.labels
    smallest = int(np.bincount(labels).min(initial=2 * NEIGHBOURS, where=np.bincount(labels) > 0))
    return {"knn.k": max(1, min(NEIGHBOURS, smallest // 2)), "knn.temperature": 0.07, "knn.features": "backbone"}


def _extent(course: Course) -> tuple[int, int]:
    return len(course.candidates), course.rungs[-1] if course.rungs else 0


def _seconds(do: Callable[[], object]) -> float:
    do()
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def _shown(scores: Found) -> str:
    retrieval = [value for name, value in scores.items() if name.startswith("retrieval")]
    return f"{sum(retrieval) / len(retrieval):.0%} of views and {scores['rotation']:.0%} of turns are found"
