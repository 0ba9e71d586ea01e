"""The loop around the step: pretraining's order of events, made of the parts of run/."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

import torch

from moco import distributed
from moco.data.ahead import ahead
from moco.data.loader import LOOKS, Loader, Plan
from moco.data.workers import killed_workers_are_told
from moco.device import most_memory_gib
from moco.encoder import Encoder
from moco.health import chance, judge
from moco.machine import Machine
from moco.ops.info_nce import Loss
from moco.recipe import Momentum, Recipe
from moco.run import checkpoint
from moco.run.clock import Clock
from moco.run.directory import RunDirectory
from moco.run.encoder_file import save_encoder
from moco.run.log import Row
from moco.run.record import Record
from moco.run.show import Show
from moco.run.skipped import SkipBudget
from moco.run.stop import Stopped, signals_heard
from moco.run.text_file import save_text_encoder
from moco.towers import TwoTowers
from moco.training import Training, train_step

Watch = Callable[[Encoder], dict[str, float]]
"""Something that measures the query encoder now and then and names what it found, such as kNN on labelled images."""


@killed_workers_are_told()
def pretrain_loop(
    t: Training,
    plan: Plan,
    loader: Loader,
    run: RunDirectory,
    machine: Machine,
    show: Show,
    scores: Watch | None = None,
    watch: Sequence[Watch] = (),
    skipped: SkipBudget | None = None,
    until: int | None = None,
) -> None:
    """Train from the step the training is at to the end of the plan, of epoch `until`, or until a signal asks to stop.

    `until` shortens nothing: schedule and order stay those of the whole plan, and a later call goes on.

    Raises Stopped after saving at SIGINT or SIGTERM, and MocoError where the loss is no longer finite (the last good
    checkpoint stays), more files are unreadable than the machine allows, or a process that decodes was killed.
    """
    last = plan.steps if until is None else until * plan.steps_per_epoch
    if until is not None and t.step >= last:
        return
    with (
        closing(Record(run, t.step, plan.steps, show, partial(_verdict, t.recipe))) as record,
        signals_heard() as asked,
    ):
        recorder = _Recorder(t, plan, record)
        if t.step == 0:
            recorder.measure([*([scores] if scores else []), *watch])
        watch_every = machine.watch_every or max(1, plan.rounds // LOOKS)
        saved_at = time.monotonic()
        recorder.clock.restart(t.step)
        for batch in recorder.clock.timed(ahead(loader.batches(plan, t.step), t.placement.device)):
            loss = train_step(t, batch)
            if t.step % machine.compare_every == 0:
                t.refuse_difference()
            turn, into = divmod(t.step, plan.round)
            done, round_done = t.step in (plan.steps, last), into == 0
            if t.step % machine.log_every == 0 or t.step == 1 or done:
                recorder.training_row(loss)
            if round_done or done:
                due = list(watch) if done or turn % watch_every == 0 else []
                recorder.measure([*([scores] if scores else []), *due])
            late = int(time.monotonic() - saved_at > machine.checkpoint_seconds)
            signum, unreadable, late = distributed.largest([asked[0] if asked else 0, len(batch.skipped), late])
            if unreadable and skipped is not None:
                skipped.add(distributed.merged(batch.skipped))
            if round_done or done or signum or late:
                save(t, run)
                if round_done and machine.keep_every and turn % machine.keep_every == 0:
                    checkpoint.keep(run, f"epoch-{turn:04d}" if plan.length is None else f"step-{t.step:09d}")
                saved_at = time.monotonic()
                recorder.clock.restart(t.step)
            if signum:
                raise Stopped(t.step, signum)
            if t.step == last:
                return


def save(t: Training, run: RunDirectory) -> None:
    """Write the encoder, then the checkpoint; the checkpoint before stays as `before.pt`.

    Raises MocoError on a full disk, for a training whose loss has left the finite numbers, and where processes no
    longer hold the same; what was saved before stays.
    """
    t.refuse_bad_loss()
    t.refuse_difference()
    checkpoint.save(t, run, first=lambda: _save_encoders(t, run))


def _save_encoders(t: Training, run: RunDirectory) -> None:
    save_encoder(run.encoder, t.model.query_encoder, t.recipe, t.step)
    if t.told is not None and isinstance(t.model, TwoTowers):
        save_text_encoder(run.text_encoder, t.model.text_query_encoder, t.told.words, t.recipe, t.step)


class _Recorder:
    """What pretraining writes down: rows about its steps, and rows of what watches its encoder."""

    def __init__(self, t: Training, plan: Plan, record: Record) -> None:
        self._t, self._plan, self._record = t, plan, record
        self.clock = Clock(t.step)

    def training_row(self, loss: Loss) -> None:
        """A row about the last step; here, and only here, the host waits for the device."""
        t, plan = self._t, self._plan
        numbers = {name: float(value) for name, value in loss._asdict().items()}
        t.refuse_bad_loss()
        pace = self.clock.pace(t.step)
        row: Row = {
            "step": t.step,
            "epoch": plan.epoch(t.step - 1) + 1,
            **numbers,
            "chance": chance(t.recipe),
            "filled": t.dictionary.filled(t.step * t.recipe.keys_a_step),
            "lr": t.optimizer.param_groups[0]["lr"],
            "m": t.m if isinstance(t.recipe.keys, Momentum) else None,
            **({"temperature": float(torch.as_tensor(t.model.temperature).detach())} if t.told is not None else {}),
            "images_per_second": pace.per_second(plan.batch),
            "data_wait": pace.wait,
            "memory_gib": most_memory_gib(t.placement.device),
        }
        self._record.add(row, pace.seconds_for(plan.steps - t.step))
        self.clock.restart(t.step)

    def measure(self, watch: Sequence[Watch]) -> None:
        """Rows of what watches the encoder; they name an epoch where the run counts in epochs."""
        t, plan = self._t, self._plan
        epoch = {"epoch": t.step // plan.steps_per_epoch} if plan.length is None else {}
        for one in watch:
            if found := one(t.model.query_encoder):
                self._record.add({"step": t.step, **epoch, **found})
        self.clock.restart(t.step)


def _verdict(recipe: Recipe, rows: Sequence[Row]) -> Row:
    """The verdict on the run, for a row about a step."""
    if "loss" not in rows[-1]:
        return {}
    health = judge(rows, recipe)
    return {"health": health.sentence, "level": health.level}
