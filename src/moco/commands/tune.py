"""`moco tune`: a search of a recipe's fields by Optuna, on runs that go on from rung to rung."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from scipy.stats import spearmanr

from moco.commands.choose import choose_recipe
from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent, Teller
from moco.data.open import open_labelled, open_source
from moco.data.source import fingerprint
from moco.data.survey import survey
from moco.device import place
from moco.errors import MocoError
from moco.halving import FACTOR, rungs
from moco.machine import Machine
from moco.recipe import Recipe, check, from_json, override, to_json
from moco.run.atomic import write_text
from moco.run.log import read_log
from moco.tune.space import describe, draw_changes, parse_search, usual_search

FEWEST_TO_RANK = 5
"""Trials from which on a rank correlation is told."""


@dataclass(frozen=True)
class Tuned:
    """What a search has found so far."""

    best: Path | None
    """A recipe file for `pretrain`; None where no trial has reached the end."""
    head: list[str]
    rows: list[list[str]]
    sentences: list[str]


def tune(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    trials: int = 20,
    watch: str | os.PathLike[str] | None = None,
    search: Sequence[str] = (),
    base: str | Recipe = "auto",
    views: str | None = None,
    changes: dict[str, Any] | None = None,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> Tuned:
    """Search until `trials` trials have ended; the folder `out` with a run for each, `best.json` and the table.

    A trial is a run of the full recipe that stops at a ninth and at a third of its epochs; the better third of those
    that came so far goes on from where it stopped (asynchronous successive halving, arXiv:1810.05934). Judged by kNN
    on `watch`, or else by the rotation probe (arXiv:2009.07724). The same call goes on, and several processes
    may work on one folder. Raises MocoError, and Stopped at Ctrl-C.
    """
    optuna = _optuna()
    tell, changes, out = tell or Silent(), changes or {}, Path(out)
    if trials < 1:
        raise MocoError(f"--trials {trials}: must be at least 1")
    source = open_source(data)
    judged = {"knn.features": "backbone"}  # comparable over temperatures and heads
    recipe = choose_recipe(base, source, survey(source), views, judged | changes, tell)
    usual = [one for one in usual_search(recipe, len(source)) if one.field not in changes]
    space = [parse_search(text, recipe) for text in search] or usual
    if not space:
        raise MocoError("every field of the usual search is set, so nothing is left to search; name some with --search")
    for one in space:
        if one.field in changes:
            raise MocoError(f"--{one.field.replace('_', '-')} is set and searched; leave one of them out")
        tell.note(f"searching {describe(one)}")
    if watch is not None:
        open_labelled(watch)
    score = "knn" if watch is not None else "rotation"
    record = {
        "recipe": to_json(recipe),
        "search": [describe(one) for one in space],
        "score": score,
        "data": fingerprint(source),
    }
    machine = _begin(out, record, machine or Machine())
    studied = _open(optuna, out)
    work = _Work(out, data, watch, machine, recipe, space, score, tell, optuna, studied)
    while True:
        work.adopt_the_dead()
        counted = [t for t in studied.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED", "RUNNING")]
        waiting = any(t.state.name == "WAITING" for t in studied.get_trials(deepcopy=False))
        if len(counted) >= trials and not waiting:
            break
        work.one()
        _write(studied, out, recipe, score)
    return _write(studied, out, recipe, score)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MocoError("tune needs Optuna: pip install 'momentum-contrast[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _begin(out: Path, record: dict[str, Any], machine: Machine) -> Machine:
    """Write down what is searched, or refuse to search something else; the same precision for all trials."""
    file = out / "tune.json"
    if out.exists() and not file.exists() and any(out.iterdir()):
        raise MocoError(f"--out {out} holds other files; name a new folder")
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        if machine.precision == "auto":
            machine = replace(machine, precision="bf16" if place(machine).bf16 else "fp32")
        write_text(file, json.dumps(record | {"precision": machine.precision}, indent=2) + "\n")
        return machine
    old = json.loads(file.read_text())
    old["recipe"] = to_json(from_json(old["recipe"]))  # which may have been written before there was some field
    for name, value in record.items():
        if old[name] != value:
            raise MocoError(
                f"{out} was begun with another {name}; repeat the first command to go on, or name another --out"
            )
    return replace(machine, precision=old["precision"])


def _open(optuna: Any, out: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(out / "trials.journal"))),
        study_name="moco",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR),
    )


@dataclass
class _Work:
    out: Path
    data: str | os.PathLike[str]
    watch: str | os.PathLike[str] | None
    machine: Machine
    base: Recipe
    space: list[Any]
    score: str
    tell: Teller
    optuna: Any
    studied: Any

    def adopt_the_dead(self) -> None:
        """Trials whose process is gone go on as new trials with the same values and the same run."""
        for trial in self.studied.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or not self._dead(trial.number):
                continue
            name = trial.user_attrs.get("run", _name(trial.number))
            try:
                self.studied.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
            except ValueError:  # another process was quicker
                continue
            self.studied.enqueue_trial(trial.params, user_attrs={"run": name})

    def _dead(self, number: int) -> bool:
        path = self._lock_path(number)
        if not path.exists():  # asked for a moment ago, and not begun
            return False
        with path.open("r+") as file:
            return _locked(file)

    def _lock_path(self, number: int) -> Path:
        return self.out / "locks" / f"{_name(number)}.lock"

    @contextmanager
    def _in_hand(self, number: int) -> Iterator[None]:
        path = self._lock_path(number)
        path.parent.mkdir(exist_ok=True)
        with path.open("w") as file:
            _locked(file)
            yield

    def one(self) -> None:
        """Train one trial as far as its scores carry it."""
        trial = self.studied.ask()
        sampler = self.optuna.samplers.TPESampler(
            seed=self.base.seed + trial.number
        )  # a function of the trial, not state
        self.studied.sampler = sampler
        with self._in_hand(trial.number):
            changes = draw_changes(self.space, trial)
            run = trial.user_attrs.get("run", _name(trial.number))
            trial.set_user_attr("run", run)
            self.tell.note(f"{run}: {', '.join(f'{k} {_short(v)}' for k, v in changes.items())}")
            recipe = override(self.base, {**changes, "name": f"tuned from {self.base.name}"})
            trial.set_user_attr("recipe", to_json(recipe))
            try:
                check(recipe)
                self._climb(trial, recipe, self.out / "runs" / run)
            except MocoError as error:
                self.tell.note(f"  failed: {error}")
                trial.set_user_attr("failed", str(error))
                self.studied.tell(trial, state=self.optuna.trial.TrialState.PRUNED)

    def _climb(self, trial: Any, recipe: Recipe, run: Path) -> None:
        """From rung to rung; the run goes on where it stopped."""
        if recipe.epochs is None:
            raise MocoError("a search counts in epochs, and this recipe in steps; give --epochs")
        found = 0.0
        for rung, epochs in enumerate(rungs(recipe.epochs)):
            whole = epochs == recipe.epochs
            pretrain(self.data, run, recipe, watch=self.watch, machine=self.machine, until=None if whole else epochs)
            scores = _scores(run, epochs)
            found = scores[self.score]
            trial.set_user_attr(f"epoch {epochs}", [scores["rotation"], found])
            trial.set_user_attr("epochs", epochs)
            trial.report(found, FACTOR**rung)
            if not whole and trial.should_prune():
                self.tell.note(f"  {_shown(self.score, found)} after epoch {epochs}: stops here")
                self.studied.tell(trial, state=self.optuna.trial.TrialState.PRUNED)
                return
            self.tell.note(f"  {_shown(self.score, found)} after epoch {epochs}")
        self.studied.tell(trial, found)


def _locked(file: IO[str]) -> bool:
    """Take the lock of an open file, if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _scores(run: Path, epoch: int) -> dict[str, float]:
    """kNN and the rotation probe as measured after an epoch."""
    scores: dict[str, float] = {}
    for row in read_log(run / "log.jsonl"):
        if row["epoch"] == epoch and "loss" not in row:
            scores |= {k: v for k, v in row.items() if k in ("knn", "rotation") and v is not None}
    return scores


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _shown(score: str, value: float) -> str:
    return f"{'kNN' if score == 'knn' else 'turns found'} {value:.1%}"


def _write(studied: Any, out: Path, base: Recipe, score: str) -> Tuned:
    """The table, and the best recipe of those trained to the end."""
    ended = [t for t in studied.get_trials(deepcopy=False) if t.state.name in ("COMPLETE", "PRUNED")]
    complete = sorted((t for t in ended if t.state.name == "COMPLETE"), key=lambda t: -t.value)
    pruned = [t for t in ended if t.state.name == "PRUNED"]
    pruned.sort(key=lambda t: (-t.user_attrs.get("epochs", 0), -max(t.intermediate_values.values(), default=0)))
    names = sorted({name for t in ended for name in t.params})
    scores = ["kNN, %", "turns found, %"] if score == "knn" else ["turns found, %"]
    head = ["trial", *(n.removeprefix("1 - ") for n in names), "epochs", *scores, "end"]
    rows = [_row(t, names, score) for t in [*complete, *pruned]]
    write_text(out / "trials.csv", "".join(",".join(f'"{c}"' for c in row) + "\n" for row in [head, *rows]))
    best = None
    sentences = []
    if complete:
        best = out / "best.json"
        write_text(best, complete[0].user_attrs["recipe"] + "\n")
        sentences.append(f"{best}: {_shown(score, complete[0].value)}; moco pretrain {best} takes it")
    else:
        sentences.append("no trial has reached the end, so there is no best recipe; run more --trials")
    if score == "knn":
        sentences += _how_well_the_probe_does([t for t in ended if t.intermediate_values])
    return Tuned(best, head, rows, sentences)


def _row(trial: Any, names: Sequence[str], score: str) -> list[str]:
    values = [trial.params.get(n) for n in names]
    shown = [_short(1 - v if n.startswith("1 - ") else v) for n, v in zip(names, values, strict=True) if v is not None]
    reached = trial.user_attrs.get("epochs", 0)
    last = trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None
    failed = trial.user_attrs.get("failed")
    end = f"failed: {failed}" if failed else "complete" if trial.state.name == "COMPLETE" else "stopped"
    turns = trial.user_attrs.get(f"epoch {reached}", [None])[0]
    numbers = [*([(last, 100)] if score == "knn" else []), (turns, 100)]
    told = ["" if value is None else f"{value * unit:.1f}" for value, unit in numbers]
    return [trial.user_attrs.get("run", _name(trial.number)), *shown, str(reached), *told, end.replace('"', "'")]


def _how_well_the_probe_does(trials: Sequence[Any]) -> list[str]:
    """How the label-free score orders the trials beside kNN, at each rung that enough of them have reached."""
    sentences = []
    for rung in dict.fromkeys(name for t in trials for name in t.user_attrs if name.startswith("epoch ")):
        pairs = [t.user_attrs[rung] for t in trials if rung in t.user_attrs]
        if len(pairs) < FEWEST_TO_RANK or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
            continue
        rho = float(spearmanr(*zip(*pairs, strict=True)).statistic)
        first, best = max(pairs)[1], max(knn for _, knn in pairs)
        sentences.append(
            f"{rung}, {len(pairs)} trials: the rotation probe, which needs no labels, orders them like kNN with a rank "
            f"correlation of {rho:.2f} (1: the same order, 0: none, -1: the opposite order); the trial it puts first "
            f"has kNN {first:.1%}, the best has {best:.1%}"
        )
    return sentences
