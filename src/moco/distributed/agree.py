"""What processes tell one another on the host: answers of the main one, lists, and whether all hold the same."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from moco.distributed.culprits import culprits_are_named, named
from moco.distributed.who import count, main_process
from moco.errors import MocoError, ToldElsewhere

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_MEETINGS = itertools.count()


def on_main(do: Callable[[], T]) -> T:
    """What the main process got from `do`, on all; where it raised MocoError, all stop, and the main one says why."""
    if count() == 1:
        return do()
    answer: list[Any] = [None]
    if not main_process():
        with culprits_are_named():
            dist.broadcast_object_list(answer)
        if answer[0][1] is not None:
            raise ToldElsewhere(answer[0][1])
        return cast(T, answer[0][0])
    try:
        value = do()
    except Exception as error:
        with culprits_are_named():
            dist.broadcast_object_list([(None, f"{error}")])
        raise
    with culprits_are_named():
        dist.broadcast_object_list([(value, None)])
    return value


def on_each(do: Callable[[], T]) -> T:
    """What `do` gives on each process, the main one first; where that raises MocoError, it says why for all."""
    made: list[T] = []
    on_main(lambda: made.append(do()))
    return made[0] if made else do()


def main_alone(do: Callable[[], T]) -> T:
    """The same as `on_main`, for work that takes long: the others wait for as long as it takes, without a time limit.

    A process that dies meanwhile is torchrun's to notice; it stops the others.
    """
    if not main_process() or count() == 1:
        meet()
        return on_main(do)
    try:
        value, failed = do(), None
    except Exception as error:
        failed = error
    meet()

    def outcome() -> T:
        if failed is not None:
            raise failed
        return value

    return on_main(outcome)


def meet() -> None:
    """Wait until all processes have come here, without a time limit: before an exchange that some reach much later."""
    if count() == 1:
        return
    store, key = dist.distributed_c10d._get_default_store(), f"moco/meeting/{next(_MEETINGS)}"
    try:
        store.add(key, 1)
        while store.add(key, 0) < count():
            time.sleep(0.02)
    except RuntimeError:
        raise MocoError("another process has stopped, and says why; this one stops too") from None


def largest(numbers: Sequence[int]) -> list[int]:
    """Of each number, the largest that a process has. On the host: it waits for processes, not for devices."""
    if count() == 1:
        return list(numbers)
    together = torch.tensor(numbers, dtype=torch.int64)
    with culprits_are_named():
        dist.all_reduce(together, dist.ReduceOp.MAX)
    return together.tolist()


def merged(own: Mapping[K, V]) -> dict[K, V]:
    """The entries of all processes."""
    return {key: value for one in each(dict(own)) for key, value in one.items()}


def joined(own: Sequence[T]) -> list[T]:
    """The items of all processes, in the order of the processes."""
    return [item for one in each(list(own)) for item in one]


def each(own: T) -> list[T]:
    if count() == 1:
        return [own]
    found: list[Any] = [None] * count()
    with culprits_are_named():
        dist.all_gather_object(found, own)
    return found


def refuse_difference(what: Mapping[str, object]) -> None:
    """Raise MocoError where a process has another value than most, and name the thing and the processes."""
    if count() == 1:
        return
    found = each(dict(what))
    for name in what:
        values = [one[name] for one in found]
        usual = Counter(values).most_common(1)[0][0]
        others = [i for i, value in enumerate(values) if value != usual]
        if others:
            raise MocoError(
                f"{named(others)} of {count()} differ{'s' if len(others) == 1 else ''} from the rest in {name}; "
                "that must never happen on sound machines with the same data and versions. "
                "The last checkpoint is from before; take the machine out, then run the same command to go on"
            )


def checksum(tensors: Iterable[Tensor]) -> int:
    """A number that changes with every bit of the tensors and with their order; waits for the device."""
    total: Tensor | None = None
    for place, tensor in enumerate(tensors):
        flat = tensor.detach().contiguous().view(-1)
        bits = flat.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]).long()
        weights = torch.arange(bits.numel(), device=bits.device) * 2 + 1
        one = (bits * weights).sum() * (2 * place + 1)
        total = one if total is None else total + one.to(total.device)
    return 0 if total is None else int(total)
