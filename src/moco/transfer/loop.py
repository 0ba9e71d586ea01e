"""The loop around the step: fine-tuning's order of events, made of the parts of run/."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from moco import distributed
from moco.data.workers import killed_workers_are_told
from moco.device import most_memory_gib
from moco.machine import Machine
from moco.run import checkpoint
from moco.run.clock import Clock
from moco.run.directory import RunDirectory
from moco.run.log import Row
from moco.run.record import Record
from moco.run.show import Show
from moco.run.skipped import SkipBudget
from moco.run.stop import Stopped, signals_heard
from moco.transfer.batches import Loader
from moco.transfer.judging import Judge
from moco.transfer.precise import precise_norms
from moco.transfer.tuning import Tuning, tune_step

Saving = Callable[[Tuning, Path], object]
"""Writes the model as it is used."""


@killed_workers_are_told()
def transfer_loop(
    t: Tuning,
    loader: Loader,
    run: RunDirectory,
    machine: Machine,
    show: Show,
    judge: Judge,
    save_model: Saving,
    skipped: SkipBudget,
    looks: int,
) -> None:
    """Fine-tune from the step it is at to the end of the schedule, or until a signal asks to stop.

    The model is judged before the first step, `looks` times evenly spread, the last at the end. Raises Stopped after
    saving at SIGINT or SIGTERM, and MocoError where the loss is no longer finite or too many files are unreadable.
    """
    steps = t.recipe.schedule.steps
    due = {round(steps * i / looks) for i in range(1, looks + 1)}
    with closing(Record(run, t.step, steps, show, _verdict)) as record, signals_heard() as asked:
        clock = Clock(t.step)
        if t.step == 0:
            with precise_norms(t, loader):
                _judge(t, judge, record, loader)
        saved_at = time.monotonic()
        clock.restart(t.step)
        for batch in clock.timed(loader.steps(t.step)):
            losses = tune_step(t, batch)
            if t.step % machine.compare_every == 0:
                t.refuse_difference()
            done = t.step == steps
            if t.step % machine.log_every == 0 or t.step == 1 or done:
                _write_row(t, losses, clock, record, loader)
            late = int(time.monotonic() - saved_at > machine.checkpoint_seconds)
            signum, unreadable, late = distributed.largest([asked[0] if asked else 0, len(batch.skipped), late])
            if unreadable:
                skipped.add(distributed.merged(batch.skipped))
            if t.step in due:
                t.refuse_bad_loss()
                with precise_norms(t, loader):
                    _judge(t, judge, record, loader)
                    _save_model(t, run, save_model)
            elif signum or late:
                _save_model(t, run, save_model)
            if t.step in due or signum or late:
                _save(t, run)
                saved_at = time.monotonic()
                clock.restart(t.step)
            if signum:
                raise Stopped(t.step, signum)


def _save_model(t: Tuning, run: RunDirectory, save_model: Saving) -> None:
    """Write the model as it is used: where it was just judged, with the statistics it was judged by."""
    t.refuse_bad_loss()
    distributed.on_main(lambda: save_model(t, run.path / "model.pt"))


def _save(t: Tuning, run: RunDirectory) -> None:
    t.refuse_bad_loss()
    t.refuse_difference()
    checkpoint.save(t, run, first=lambda: None)


def _judge(t: Tuning, judge: Judge, record: Record, loader: Loader) -> None:
    start = time.monotonic()
    scores = judge(t.model)
    record.add({"step": t.step, "epoch": loader.epoch(t.step), **scores, "judged_in": time.monotonic() - start})


def _write_row(t: Tuning, losses: dict[str, Tensor], clock: Clock, record: Record, loader: Loader) -> None:
    """A row about the last step; here, and only here, the host waits for the device."""
    names, values = list(losses), torch.stack(list(losses.values())).tolist()
    t.refuse_bad_loss()
    pace = clock.pace(t.step)
    row: Row = {
        "step": t.step,
        "epoch": loader.epoch(max(t.step - 1, 0)) + 1,
        **dict(zip(names, values, strict=True)),
        "lr": t.optimizer.param_groups[0]["lr"],
        "images_per_second": pace.per_second(t.recipe.batch),
        "data_wait": pace.wait,
        "memory_gib": most_memory_gib(t.placement.device),
    }
    record.add(row, pace.seconds_for(t.recipe.schedule.steps - t.step))
    clock.restart(t.step)


def _verdict(rows: Sequence[Row]) -> Row:
    return {}
