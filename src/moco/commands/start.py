"""What a run has before its first step: its images, where it computes, and what was settled when it began."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco import distributed
from moco.commands.tell import Teller
from moco.data.loader import Loader, MemoryLoader, WorkerLoader
from moco.data.memory import Memory, load_memory
from moco.data.names import number_of
from moco.data.shard_names import is_url, names_shards
from moco.data.source import Source, fingerprint
from moco.data.survey import Survey
from moco.device import Placement, place_all
from moco.machine import Machine
from moco.run.directory import DataRecord, RunDirectory
from moco.run.skipped import SkipBudget
from moco.two_views import Views


@dataclass(frozen=True)
class Start:
    """A run that is about to start, or to go on."""

    run: RunDirectory
    source: Source
    facts: Survey
    machine: Machine
    tell: Teller
    saved: dict[str, Any]
    """What was settled on this machine when the run began; empty before."""
    placement: Placement
    skipped: SkipBudget
    memory: Memory | None
    """All images, decoded, where they are small and few enough."""

    def loader(self, views: Views) -> Loader:
        """What gives the batches."""
        return MemoryLoader(self.memory) if self.memory else WorkerLoader(self.source, views, self.machine.decoders)

    @property
    def unread(self) -> Source | None:
        """The images, where each is read when a step takes it; None where they are in memory."""
        return self.source if self.memory is None else None

    @property
    def kept_fast(self) -> list[str] | None:
        """The fast forms that a run which goes on has used; None where they are to be found out."""
        return list(self.saved.get("fast", [])) if self.saved and self.machine.compile == "auto" else None

    def write_down(self, fast: list[str], why: str) -> None:
        """What was settled on this machine, for whoever goes on or reads the run."""
        settled = {
            "precision": "bf16" if self.placement.bf16 else "fp32",
            "threads": self.placement.threads,
            "images": "memory" if self.memory is not None else "workers",
            "placement": self.placement.reason,
            "fast": fast,
            "fast_reason": why or self.saved.get("fast_reason", ""),
        }
        distributed.on_main(lambda: self.run.write("machine.json", dataclasses.asdict(self.machine) | settled))


def start(run: RunDirectory, source: Source, facts: Survey, machine: Machine, tell: Teller) -> Start:
    """Choose where to compute, and read the images if they are to be kept in memory.

    Raises MocoError for a device that cannot be used, and for more unreadable files than the machine allows.
    """
    saved = distributed.on_main(lambda: run.read("machine.json") if run.checkpoint.exists() else {})
    placement = _place(machine, saved)
    tell.note(placement.reason)
    skipped = SkipBudget(run, source.name, len(source), machine.max_skipped)
    small = facts.fits_in_memory(machine.memory_gib, placement.device.type)
    small = saved["images"] == "memory" if "images" in saved else small
    memory = None
    if small:
        memory, unreadable = load_memory(source, machine.decoders, tell.reading("reading images", len(source)))
        skipped.add(unreadable)
    if len(skipped):
        tell.note(f"{number_of(len(skipped), 'file')} left out because unreadable; {run.skipped} says why")
    return Start(run, source, facts, machine, tell, saved, placement, skipped, memory)


def record_of(data: str | os.PathLike[str], source: Source) -> DataRecord:
    """Which images these are, for the run to notice that they have changed; all processes must see the same."""
    here = Path(data).exists() or (names_shards(str(data)) and not is_url(str(data)))
    where = str(Path(data).expanduser().resolve()) if here else str(data)
    record = DataRecord(where, len(source), fingerprint(source))
    distributed.refuse_difference({"the images it sees": record.fingerprint})
    return record


def _place(machine: Machine, saved: dict[str, Any]) -> Placement:
    """Where this run computes: what was measured at its start holds when it goes on, so that it goes on exactly."""
    asked = machine
    if machine.precision == "auto" and saved.get("precision") in ("bf16", "fp32"):
        machine = dataclasses.replace(machine, precision=saved["precision"])
    if machine.threads is None and isinstance(saved.get("threads"), int):
        machine = dataclasses.replace(machine, threads=saved["threads"])
    placement = place_all(machine)
    if machine != asked and "placement" in saved:
        placement = dataclasses.replace(placement, reason=saved["placement"])
    return placement
