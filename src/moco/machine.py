"""What the machine may decide: device, precision, workers, how often to write. None of it changes what is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moco.errors import MocoError


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a recipe is run here. Two machines give the same encoder up to the rounding of their precision."""

    device: str = "auto"
    """`auto`: a CUDA GPU if there is one, else the CPU. Or a torch device, such as `cuda:1`."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto`: bf16 autocast where a short measurement shows that it is faster. Loss, keys and weights stay fp32."""
    workers: int | None = None
    """Processes (or threads, for images kept in memory) that decode; None: one per core, at most 8."""
    memory_gib: float = 4.0
    """Decoded images up to this many GiB, at most 256 x 256 pixels each, are kept in memory as uint8."""
    log_every: int = 10
    """Steps between two lines of the log."""
    checkpoint_seconds: float = 300.0
    """A checkpoint is written after each epoch and at least this often."""
    keep_every: int = 0
    """Keep a checkpoint of every so many epochs, as checkpoints/epoch-0100.pt; 0: only the last."""
    watch_every: int | None = None
    """Epochs between two kNN measurements of --watch; None: about twenty over the run."""
    max_skipped: float = 0.01
    """Share of unreadable files beyond which the run stops."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise MocoError(f"--machine.workers {self.workers}: must be 0 or more")
        if self.log_every < 1:
            raise MocoError(f"--machine.log-every {self.log_every}: must be at least 1")
        if self.watch_every is not None and self.watch_every < 1:
            raise MocoError(f"--machine.watch-every {self.watch_every}: must be at least 1")
        if self.keep_every < 0:
            raise MocoError(f"--machine.keep-every {self.keep_every}: must be 0 or more")
        if self.checkpoint_seconds <= 0:
            raise MocoError(f"--machine.checkpoint-seconds {self.checkpoint_seconds}: must be positive")
        if not 0 <= self.max_skipped <= 1:
            raise MocoError(f"--machine.max-skipped {self.max_skipped}: a share between 0 and 1")
