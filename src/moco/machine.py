"""What the machine may decide: device, precision, workers, how often to write. None of it changes what is learnt."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Literal

from moco.arguments import refuse_other_types
from moco.errors import MocoError


def cores() -> int:
    """CPU cores that this process may use: its part of them, where torchrun started several on this machine."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a recipe is run here. Two machines give the same encoder up to rounding (of products, and of crops)."""

    device: str = "auto"
    """`auto`: a CUDA GPU if there is one, else the CPU. Or a torch device, such as `cuda:1`."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto`: bf16 autocast where a short measurement shows that it is faster. Loss, keys and weights stay fp32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """`auto`: on a GPU, forms compiled for it where a check at the start finds them right and faster. `off`: plain."""
    reproducible: bool = False
    """Precision (fp32, where it is not set) and threads by rule instead of by measurement: the same command twice gives
    the same encoder to the bit. `auto` must then be told its length and its views."""
    parts: int = 1
    """Parts of a batch that are asked for one after the other, to save memory: keys of the whole batch are made first,
    and the gradient is that of the whole batch."""
    threads: int | None = None
    """CPU threads of torch; None: all cores, or one where a measurement shows that more are slower."""
    workers: int | None = None
    """Processes (or threads, for images kept in memory) that decode; None: one per core, at most 8."""
    memory_gib: float = 4.0
    """Images of at most 512 px a side (beside a GPU, 256 x 256 on average) are kept in memory where all, decoded, take
    up to this many GiB."""
    log_every: int = 10
    """Steps between two lines of the log."""
    checkpoint_seconds: float = 300.0
    """A checkpoint is written after each epoch and at least this often."""
    keep_every: int = 0
    """Keep a checkpoint of every so many epochs, as checkpoints/epoch-0100.pt; 0: only the last."""
    watch_every: int | None = None
    """Epochs between two kNN measurements of --watch; None: about twenty over the run."""
    cache_gib: float = 32.0
    """Shards that were fetched are kept on disk up to this many GiB."""
    retry_seconds: float = 60.0
    """A shard that cannot be reached is asked for again for so long, before its images are skipped."""
    timeout_seconds: float = 600.0
    """With several processes: how long the others wait for one that does not answer before all stop and name it."""
    compare_every: int = 100
    """With several processes: steps between two comparisons of their weights and dictionaries."""
    max_skipped: float = 0.01
    """Share of unreadable files beyond which the run stops."""

    def compiles(self, device: str) -> Literal["auto", "on", "off"]:
        """`compile`; forms that are taken if they are measured to be faster, as on a GPU, are left out by rule."""
        return "off" if self.reproducible and self.compile == "auto" and device != "cpu" else self.compile

    @property
    def decoders(self) -> int:
        """How many processes or threads decode."""
        return self.workers if self.workers is not None else min(8, cores())

    def __post_init__(self) -> None:
        refuse_other_types(self, "--machine.")
        if self.threads is not None and self.threads < 1:
            raise MocoError(f"--machine.threads {self.threads}: must be at least 1")
        if self.parts < 1:
            raise MocoError(f"--machine.parts {self.parts}: must be at least 1")
        if self.workers is not None and self.workers < 0:
            raise MocoError(f"--machine.workers {self.workers}: must be 0 or more")
        if self.log_every < 1:
            raise MocoError(f"--machine.log-every {self.log_every}: must be at least 1")
        if self.watch_every is not None and self.watch_every < 1:
            raise MocoError(f"--machine.watch-every {self.watch_every}: must be at least 1")
        if self.keep_every < 0:
            raise MocoError(f"--machine.keep-every {self.keep_every}: must be 0 or more")
        if not (self.memory_gib >= 0 and math.isfinite(self.memory_gib)):
            raise MocoError(f"--machine.memory-gib {self.memory_gib}: must be 0 or more")
        if self.compare_every < 1:
            raise MocoError(f"--machine.compare-every {self.compare_every}: must be at least 1")
        if not (self.timeout_seconds > 0 and math.isfinite(self.timeout_seconds)):
            raise MocoError(f"--machine.timeout-seconds {self.timeout_seconds}: must be positive")
        if not self.checkpoint_seconds > 0:
            raise MocoError(f"--machine.checkpoint-seconds {self.checkpoint_seconds}: must be positive")
        if self.cache_gib <= 0:
            raise MocoError(f"--machine.cache-gib {self.cache_gib}: must be positive")
        if self.retry_seconds < 0:
            raise MocoError(f"--machine.retry-seconds {self.retry_seconds}: must be 0 or more")
        if not 0 <= self.max_skipped <= 1:
            raise MocoError(f"--machine.max-skipped {self.max_skipped}: a share between 0 and 1")
