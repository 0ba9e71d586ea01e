"""The loop around the step: what is written when, and how a run stops and goes on."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from moco import distributed
from moco.data.ahead import ahead
from moco.data.loader import Loader, Plan, killed_workers_are_told
from moco.encoder import Encoder
from moco.health import chance, judge
from moco.machine import Machine
from moco.run import checkpoint
from moco.run.directory import RunDirectory
from moco.run.encoder_file import save_encoder
from moco.run.log import Log, Row
from moco.run.show import Show
from moco.run.skipped import SkipBudget
from moco.run.stop import Stopped, signals_heard
from moco.training import Training, train_step

Watch = Callable[[Encoder], dict[str, float]]
"""Something that measures the query encoder now and then and names what it found, such as kNN on labelled images."""


@killed_workers_are_told()
def pretrain_loop(
    training: Training,
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
    if until is not None and training.step >= until * plan.steps_per_epoch:
        return
    logs: list[Log] = []  # one, on the main process
    distributed.on_main(lambda: logs.append(Log(run.path, training.step if run.checkpoint.exists() else -1)))
    recorder = _Recorder(training, plan, logs, show)
    try:
        with signals_heard() as asked:
            if training.step == 0:
                recorder.measure([*([scores] if scores else []), *watch])
            _loop(training, plan, loader, run, machine, recorder, scores, watch, skipped, asked, until)
    finally:
        for log in logs:
            log.close()


def _loop(
    t: Training,
    plan: Plan,
    loader: Loader,
    run: RunDirectory,
    machine: Machine,
    recorder: _Recorder,
    scores: Watch | None,
    watch: Sequence[Watch],
    skipped: SkipBudget | None,
    asked: list[int],
    until: int | None,
) -> None:
    watch_every = machine.watch_every or max(1, plan.rounds // 20)
    saved_at = time.monotonic()
    recorder.restart_clock()
    for batch in recorder.timed(ahead(loader.batches(plan, t.step), t.placement.device)):
        loss = train_step(t, batch)
        if t.step % machine.compare_every == 0:
            t.refuse_difference()
        turn, into = divmod(t.step, plan.round)
        done, round_done = t.step == plan.steps, into == 0
        if t.step % machine.log_every == 0 or t.step == 1 or done:
            recorder.training_row(loss._asdict())
        if round_done or done:
            due = list(watch) if done or turn == until or turn % watch_every == 0 else []
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
            recorder.restart_clock()
        if signum:
            raise Stopped(t.step, signum)
        if round_done and turn == until:
            return


def save(t: Training, run: RunDirectory) -> None:
    """Write the encoder, then the checkpoint; the checkpoint before stays as `before.pt`.

    Raises MocoError on a full disk, for a training whose loss has left the finite numbers, and where processes no
    longer hold the same; what was saved before stays.
    """
    t.refuse_bad_loss()
    t.refuse_difference()
    checkpoint.save(t, run, first=lambda: save_encoder(run.encoder, t.model.query_encoder, t.recipe, t.step))


class _Recorder:
    """Rows of the log, with the clock they need."""

    def __init__(self, t: Training, plan: Plan, logs: list[Log], show: Show) -> None:
        self._t, self._plan, self._logs, self._show = t, plan, logs, show
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out of the rates what was not training."""
        self._since, self._since_step, self._waited = time.monotonic(), self._t.step, 0.0

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches, counting the time spent waiting for them."""
        while True:
            start = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._waited += time.monotonic() - start
            yield batch

    def training_row(self, values: dict[str, torch.Tensor]) -> None:
        """A row about the last step; here, and only here, the host waits for the device."""
        t, plan = self._t, self._plan
        numbers = {name: float(value) for name, value in values.items()}
        t.refuse_bad_loss()
        seconds, steps = time.monotonic() - self._since, t.step - self._since_step
        row: Row = {
            "step": t.step,
            "epoch": plan.epoch(t.step - 1) + 1,
            **numbers,
            "chance": chance(t.recipe),
            "filled": t.dictionary.filled(t.step * plan.batch * (2 if t.recipe.loss.symmetric else 1)),
            "lr": t.optimizer.param_groups[0]["lr"],
            "m": getattr(t.recipe.keys, "m", None),
            "images_per_second": steps * plan.batch / max(seconds, 1e-9),
            "data_wait": self._waited / max(seconds, 1e-9),
            "memory_gib": _memory_gib(t.placement.device),
        }
        self._write(row, seconds * (plan.steps - t.step) / max(steps, 1))
        self.restart_clock()

    def measure(self, watch: Sequence[Watch]) -> None:
        """Rows of what watches the encoder."""
        for one in watch:
            values = one(self._t.model.query_encoder)
            self._write({"step": self._t.step, "epoch": self._t.step // self._plan.steps_per_epoch, **values}, None)
        self.restart_clock()

    def _write(self, row: Row, seconds_left: float | None) -> None:
        distributed.on_main(lambda: self._add(row))
        if distributed.main_process():
            self._show.row(row, self._t.step, self._plan.steps, seconds_left)

    def _add(self, row: Row) -> None:
        for log in self._logs:
            if "loss" in row:
                health = judge([*log.recent(), row], self._t.recipe)
                row |= {"health": health.sentence, "level": health.level}
            log.add(row)


def _memory_gib(device: torch.device) -> float:
    """Most memory taken so far: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
