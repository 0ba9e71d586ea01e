"""A resumable checkpoint of the official code (main_moco.py): the whole state of a run, by names and values."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from moco.foreign.containers import Contents, Tensors
from moco.foreign.prefixes import below

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Official:
    """Both encoders, the queue, the solver and the epoch."""

    epoch: int
    """Epochs that are done."""
    query: Tensors
    """encoder_q by torchvision's names; its head is `fc`."""
    key: Tensors
    queue: Tensor
    """C x K: a key is a column."""
    pointer: int
    momentum: Tensors
    """SGD's buffer of each parameter of the query encoder."""

    @property
    def head_layers(self) -> int:
        """1 in v1, 2 in v2; 0 for a head of another make."""
        names = {name for name in self.query if name.startswith("fc.")}
        return {("fc.bias", "fc.weight"): 1, ("fc.0.bias", "fc.0.weight", "fc.2.bias", "fc.2.weight"): 2}.get(
            tuple(sorted(names)), 0
        )


def ours(name: str) -> str:
    """The name that a tensor of an official encoder has in ours."""
    if not name.startswith("fc."):
        return f"backbone.{name}"
    rest = name.removeprefix("fc.")
    return f"head.{rest}" if rest[0].isdigit() else f"head.0.{rest}"


def read_official(held: Contents, prefix: str) -> Official | None:
    """The state that lies around the query encoder at `prefix`; None where the file is not resumable.

    The published files have no solver: "solver states removed" (issue 27 of the official code).
    """
    above = prefix.removesuffix("encoder_q.")
    query, key = below(held.tensors, prefix), below(held.tensors, f"{above}encoder_k.")
    queue, pointer = held.tensors.get(f"{above}queue"), held.tensors.get(f"{above}queue_ptr")
    epoch = held.words.get("epoch")
    parameters = [name for name in query if not name.endswith(_BUFFERS)]
    buffers = [held.tensors.get(f"optimizer.state.{n}.momentum_buffer") for n in range(len(parameters))]
    whole = above != prefix and query.keys() == key.keys() and isinstance(epoch, int)
    if not whole or queue is None or pointer is None or queue.ndim != 2 or any(b is None for b in buffers):
        return None
    momentum = {name: b for name, b in zip(parameters, buffers, strict=True) if b is not None}
    if any(momentum[name].shape != query[name].shape for name in parameters):
        return None
    assert isinstance(epoch, int)
    return Official(epoch, query, key, queue, int(pointer.flatten()[0]), momentum)
