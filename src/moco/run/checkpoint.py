"""Two generations of checkpoints: what a run goes on from, and the one before, for when that is damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from moco import distributed
from moco.errors import MocoError
from moco.run.atomic import copy_atomically, keep_as
from moco.run.directory import RunDirectory
from moco.run.show import Show
from moco.run.tensors import read_tensors, write_tensors


class Saved(Protocol):
    """Something that is saved as it goes and goes on from what was saved."""

    def state(self) -> dict[str, Any]:
        """All that changes from step to step, `step` among it."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave; raises KeyError, TypeError, ValueError or RuntimeError at another."""
        ...


def resume(training: Saved, run: RunDirectory, show: Show) -> bool:
    """Restore the run's last checkpoint, if it has one; whether it had.

    Where that is damaged, the one before, which is said; MocoError where neither is whole.
    """
    saved, note = distributed.on_main(lambda: _last_whole(run))
    if note is not None:
        show.note(note)
    if saved is None:
        return False
    try:
        training.restore(saved)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MocoError(f"{run.checkpoint} is of another run ({reason:.200}); {_way_out(run)}") from None
    return True


def save(training: Saved, run: RunDirectory, first: Callable[[], object]) -> None:
    """Do `first`, then write the checkpoint, on the main process; the checkpoint before stays as `before.pt`.

    `first` writes what no checkpoint may be without, such as its encoder. Raises MocoError on a full disk; what was
    saved before stays.
    """

    def write() -> None:
        first()
        keep_as(run.checkpoint, run.checkpoint_before)
        write_tensors(run.checkpoint, training.state())

    distributed.on_main(write)


def keep(run: RunDirectory, name: str) -> None:
    """Copy the last checkpoint to one that stays: `epoch-<number>` or `step-<number>`."""
    distributed.on_main(lambda: copy_atomically(run.checkpoint, run.checkpoint.with_name(f"{name}.pt")))


def _last_whole(run: RunDirectory) -> tuple[dict[str, Any] | None, str | None]:
    """The state to go on from, if any, and what there is to say about it; raises MocoError where none is whole."""
    if not run.checkpoint.exists():
        return None, None
    try:
        return read_tensors(run.checkpoint), None
    except MocoError as error:
        if not run.checkpoint_before.exists():
            raise MocoError(f"{error}; {_way_out(run)}") from None
        saved = read_tensors(run.checkpoint_before)
        return saved, f"{error}; going on from {run.checkpoint_before.name}, the checkpoint of step {saved['step']:,}"


def _way_out(run: RunDirectory) -> str:
    kept = sorted(p for p in run.checkpoint.parent.glob("*.pt") if p.name.startswith(("epoch-", "step-")))
    return f"copy {kept[-1].name} over it to go on from there" if kept else "put back a copy, or name another --out"
