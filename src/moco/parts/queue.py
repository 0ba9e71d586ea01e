"""The dictionary as a queue, for loops of one's own (v1, section 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from moco import distributed
from moco.arguments import words
from moco.dictionary import KeyQueue
from moco.errors import MocoError
from moco.parts import refuse


class Queue(nn.Module):
    """The K latest keys, of unit length, a ring that is written in place (v1, section 3.2).

        contrast = queue.look_up(k)     # changes nothing
        loss = moco.info_nce(q, *contrast, temperature=0.2).loss
        ...
        queue.update(k)                 # last: no key is ever its own negative

    `size` is K and `dim` is C, the length of a key. Before it has seen K keys it holds random unit vectors, a function
    of `seed`: those of `moco pretrain` with the same seed. `store` says how keys are kept: `fp32` as in the papers,
    `bf16` in half, `int8` in a quarter of the memory. It is a module: its keys and its pointer move with `.to()` and
    are in `state_dict()`. Where torch.distributed has several processes, `update` writes the keys of all of them, in
    the order of their ranks, so each holds the same queue. Raises MocoError for a size or length below 1.
    """

    def __init__(self, size: int, dim: int, *, seed: int = 0, store: Literal["fp32", "bf16", "int8"] = "fp32") -> None:
        super().__init__()
        refuse.number("Queue", "size", size, least=1, whole=True)
        refuse.number("Queue", "dim", dim, least=1, whole=True)
        refuse.number("Queue", "seed", seed, least=0, whole=True)
        if store not in ("fp32", "bf16", "int8"):
            raise MocoError(f"moco.Queue: store is {words(store)}; give fp32, bf16 or int8")
        self.ring = KeyQueue(size, dim, torch.Generator().manual_seed(seed + 1), store)

    @property
    def keys(self) -> Tensor:
        """The keys as they are kept (K x C); `look_up` says what each is multiplied by where `store` is int8."""
        return self.ring.keys

    def __len__(self) -> int:
        return len(self.ring.keys)

    def look_up(self, k: Tensor) -> tuple[Tensor, Tensor, None, Tensor | None]:
        """What the queries of a batch are contrasted with: their keys `k` (N x C) and the K keys of earlier steps.

        What `moco.info_nce` takes behind `q`: key, others, log_count and scale. Changes nothing; the negatives are the
        queue itself and no copy. Raises MocoError where `k` is not of
        unit length, not of the queue's width or device, or has more rows than the queue.
        """
        self._refuse("look_up", k)
        return k.detach(), self.ring.keys, None, self.ring.scale

    def update(self, k: Tensor) -> None:
        """Write the keys (N x C), of all processes, over the oldest; raises MocoError as `look_up` does."""
        self._refuse("update", k)
        self.ring.update(k, k, k)

    def state(self) -> dict[str, Tensor]:
        """All that changes from step to step, as a run's checkpoint keeps it under `dictionary`."""
        return dict(self.ring.state_dict())

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave; raises MocoError where it is of another size or kind of queue."""
        refuse.instance("Queue.restore", "state", state, dict, "give what Queue.state() gave")
        try:
            self.ring.load_state_dict(state)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise MocoError(
                f"moco.Queue.restore: the state does not fit a queue of {len(self)} x {self.keys.shape[1]} kept as "
                f"{self.ring.store} ({' '.join(str(error).split())[:200]}); make the queue as it was saved"
            ) from None

    def filled(self, keys_seen: int) -> float:
        """Share of the ring that holds keys of images, after so many keys."""
        refuse.number("Queue.filled", "keys_seen", keys_seen, least=0, whole=True)
        return self.ring.filled(keys_seen)

    def extra_repr(self) -> str:
        """For printing."""
        return f"{len(self)} keys of {self.keys.shape[1]}, {self.ring.store}"

    def _refuse(self, method: str, k: Tensor) -> None:
        function = f"Queue.{method}"
        refuse.vectors(function, "k", k)
        refuse.together(function, {"k": k, "the queue": self.keys})
        if k.shape[1] != self.keys.shape[1]:
            raise MocoError(
                f"moco.{function}: k is {words(k)}, for a queue of keys of length {self.keys.shape[1]}; give "
                "keys of that length, or make the queue with another dim"
            )
        rows = len(k) * distributed.count()
        if rows > len(self):
            raise MocoError(
                f"moco.{function}: k is {words(k)}, {rows} keys a step for a queue of {len(self)}; make the "
                "queue larger or the batch smaller"
            )
        refuse.unit_vectors(function, "k", k)
