"""One process or many are the same experiment: what processes exchange, and nothing else knows that there are many.

`torchrun` starts the processes and says in the environment who they are. Of a batch, each process holds a contiguous
share, in the order of the processes. Every function here is the identity on one process; all must be called by all
processes, in the same order.
"""

from __future__ import annotations

import itertools
import math
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from moco.errors import MocoError, ToldElsewhere

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_BUCKET = 8 << 20
"""Numbers that are averaged at a time (32 MiB of fp32)."""

_MEETINGS = itertools.count()

_ROLL_CALL_SECONDS = 3.0
"""How long processes that gave up waiting for one another wait for who else is there."""


@contextmanager
def processes(device: str, timeout_seconds: float) -> Iterator[None]:
    """Join the processes that torchrun started, if it did: gloo between CPUs, NCCL between GPUs.

    Raises MocoError where there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        yield
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise MocoError(
                f"process {os.environ['RANK']} is number {local} on a machine with {gpus} GPUs; start as many "
                "processes as there are GPUs, or use --machine.device cpu"
            )
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    timeout = timedelta(seconds=timeout_seconds)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    own = _store_of_this_life(store, rank, size, timeout_seconds)
    dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _store_of_this_life(store: Store, rank: int, size: int, timeout_seconds: float) -> Store:
    """A part of torchrun's store that no earlier life of the job has written to.

    torchrun keeps its store over restarts, with the addresses of dead processes in it, and its count of restarts
    differs between machines. So process 0 makes up a word for this life, and gives it to each process that says hello
    with a word of its own: an old hello or an old answer then fits nobody.
    """
    hello, until = secrets.token_hex(8), time.monotonic() + timeout_seconds
    if rank == 0:
        answered: dict[int, bytes] = {}
        while store.add(f"moco/{hello}/ready", 0) < size - 1:
            for other in range(1, size):
                if store.check([f"moco/hello/{other}"]):
                    said = store.get(f"moco/hello/{other}")
                    if answered.get(other) != said:
                        store.set(f"moco/welcome/{other}", said.decode() + hello)
                        answered[other] = said
            _pause(until)
        return PrefixStore(hello, store)
    store.set(f"moco/hello/{rank}", hello)
    while True:
        if store.check([f"moco/welcome/{rank}"]):
            answer = store.get(f"moco/welcome/{rank}").decode()
            if answer.startswith(hello):
                word = answer.removeprefix(hello)
                store.add(f"moco/{word}/ready", 1)
                return PrefixStore(word, store)
        _pause(until)


def _pause(until: float) -> None:
    if time.monotonic() > until:
        raise MocoError("not all processes came together within --machine.timeout-seconds; did all machines start?")
    time.sleep(0.02)


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def main_process() -> bool:
    """Whether this is the one that writes files and talks; also known before they have joined and after they left."""
    return number() == 0 if dist.is_initialized() else os.environ.get("RANK", "0") == "0"


def own_device(device: torch.device) -> torch.device:
    """This process's own device of a kind: with several processes, the GPU of its number on this machine."""
    if count() > 1 and device.type == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return device


def on_main(do: Callable[[], T]) -> T:
    """What the main process got from `do`, on all; where it raised MocoError, all stop, and the main one says why."""
    if count() == 1:
        return do()
    answer: list[Any] = [None]
    if not main_process():
        with _culprits_are_named():
            dist.broadcast_object_list(answer)
        if answer[0][1] is not None:
            raise ToldElsewhere(answer[0][1])
        return cast(T, answer[0][0])
    try:
        value = do()
    except Exception as error:
        with _culprits_are_named():
            dist.broadcast_object_list([(None, f"{error}")])
        raise
    with _culprits_are_named():
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


def share(n: int, unit: int) -> slice:
    """The part of n rows that is this process's: whole blocks of `unit` rows, as even as they allow."""
    blocks = -(-n // unit)
    first, behind = (blocks * (number() + i) // count() * unit for i in (0, 1))
    return slice(min(first, n), min(behind, n))


def collect(own: Tensor) -> Tensor:
    """The rows that all processes have, however many each (N_p x ...), in the order of the processes; on the host."""
    if count() == 1:
        return own
    own = own.cpu().contiguous()
    shapes = _each(tuple(own.shape[1:]))
    rows = _each(len(own))
    widths = next((shape for shape, n in zip(shapes, rows, strict=True) if n), shapes[0])
    out = torch.empty(sum(rows), *widths, dtype=own.dtype)
    place = 0
    for process, n in enumerate(rows):
        part = out[place : place + n]
        if process == number() and n:
            part.copy_(own)
        at_once = max(1, _BUCKET // max(1, math.prod(widths)))
        for piece in part.split(at_once):  # type: ignore[no-untyped-call]
            with _culprits_are_named():
                dist.broadcast(piece, process)
        place += n
    return out


def largest(numbers: Sequence[int]) -> list[int]:
    """Of each number, the largest that a process has. On the host: it waits for processes, not for devices."""
    if count() == 1:
        return list(numbers)
    together = torch.tensor(numbers, dtype=torch.int64)
    with _culprits_are_named():
        dist.all_reduce(together, dist.ReduceOp.MAX)
    return together.tolist()


def merged(own: Mapping[K, V]) -> dict[K, V]:
    """The entries of all processes."""
    return {key: value for one in _each(dict(own)) for key, value in one.items()}


def joined(own: Sequence[T]) -> list[T]:
    """The items of all processes, in the order of the processes."""
    return [item for one in _each(list(own)) for item in one]


def _each(own: T) -> list[T]:
    if count() == 1:
        return [own]
    found: list[Any] = [None] * count()
    with _culprits_are_named():
        dist.all_gather_object(found, own)
    return found


def refuse_difference(what: Mapping[str, object]) -> None:
    """Raise MocoError where a process has another value than most, and name the thing and the processes."""
    if count() == 1:
        return
    found = _each(dict(what))
    for name in what:
        values = [one[name] for one in found]
        usual = Counter(values).most_common(1)[0][0]
        others = [i for i, value in enumerate(values) if value != usual]
        if others:
            raise MocoError(
                f"{_named(others)} of {count()} differ{'s' if len(others) == 1 else ''} from the rest in {name}; "
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


def first_row(rows: int) -> int:
    """The place in the whole batch of the first of this process's `rows` rows."""
    return number() * rows


def gather(x: Tensor) -> Tensor:
    """The rows (N/P x ...) of all processes (N x ...), in the order of the processes; without gradient."""
    return x if count() == 1 else _gathered(x.detach())


def gather_with_gradient(x: Tensor) -> Tensor:
    """The same; the gradient of a row is the sum over all processes that used it."""
    return x if count() == 1 else cast(Tensor, _Gather.apply(x))


def permute(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Row i of the whole batch becomes row order[i] of it; a process sends and receives only its share, N/P rows.

    `order` is that of all N rows and known to all processes. Differentiable.
    """
    if count() == 1:
        return x[torch.from_numpy(order).to(x.device, non_blocking=True)]
    return cast(Tensor, _Permute.apply(x, order))


@torch.no_grad()
def average_(tensors: Sequence[Tensor]) -> None:
    """Each tensor becomes its mean over the processes, bit-equal on all of them."""
    if count() == 1:
        return
    bucket: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        if bucket and (filled + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            _average_bucket_(bucket)
            bucket, filled = [], 0
        bucket.append(tensor)
        filled += tensor.numel()
    if bucket:
        _average_bucket_(bucket)


def _average_bucket_(tensors: list[Tensor]) -> None:
    flat = torch.cat([t.reshape(-1) for t in tensors])
    with _culprits_are_named():
        dist.all_reduce(flat)
    flat /= count()
    parts = flat.split([t.numel() for t in tensors])  # type: ignore[no-untyped-call]
    torch._foreach_copy_(list(tensors), [part.view(t.shape) for part, t in zip(parts, tensors, strict=True)])


class Neighbours:
    """`size` consecutive processes, this one among them, that share BatchNorm groups."""

    def __init__(self, size: int) -> None:
        """All processes must make theirs together."""
        assert count() % size == 0
        self.size = size
        groups = [dist.new_group(list(range(first, first + size))) for first in range(0, count(), size)]
        self._group = groups[number() // size]

    def __deepcopy__(self, memo: object) -> Neighbours:
        return self

    def gather(self, x: Tensor) -> Tensor:
        """x of each of them (size x ...), in their order."""
        parts = [torch.empty_like(x) for _ in range(self.size)]
        with _culprits_are_named():
            dist.all_gather(parts, x.contiguous(), group=cast(dist.ProcessGroup, self._group))
        return torch.stack(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _gathered(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        received = torch.empty_like(grad)
        with _culprits_are_named():
            dist.all_to_all_single(received, grad)  # and then a sum in a fixed order: the same bits on any network
        return received.view(count(), -1, *grad.shape[1:]).sum(dim=0)


class _Permute(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, order: NDArray[np.int64]) -> Tensor:
        ctx.order = order
        return _exchange(x, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _exchange(grad, np.argsort(ctx.order)), None


def _gathered(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(count())]
    with _culprits_are_named():
        dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def _exchange(x: Tensor, order: NDArray[np.int64]) -> Tensor:
    rows, me = len(x), number()
    assert len(order) == rows * count()
    to_each = [share[share // rows == me] - me * rows for share in np.split(order, count())]
    owners = order[me * rows : (me + 1) * rows] // rows
    sent = x[torch.from_numpy(np.concatenate(to_each)).to(x.device, non_blocking=True)].contiguous()
    received = torch.empty_like(sent)
    with _culprits_are_named():
        dist.all_to_all_single(
            received, sent, np.bincount(owners, minlength=count()).tolist(), [len(part) for part in to_each]
        )
    out = torch.empty_like(x)
    out[torch.from_numpy(np.argsort(owners, kind="stable")).to(x.device, non_blocking=True)] = received
    return out


@contextmanager
def _culprits_are_named() -> Iterator[None]:
    """Turn a failed exchange into a sentence about who did not take part.

    Whoever fails signs a list in torchrun's store. One that was killed or hangs cannot.
    """
    try:
        yield
    except RuntimeError as error:
        missing = _roll_call()
        reason = (str(error).splitlines() or [""])[0][:200]
        if not missing:
            raise MocoError(f"the exchange between {count()} processes failed: {reason}") from None
        raise MocoError(
            f"{_named(missing)} of {count()} did not answer (killed, hung or cut off; noticed by process {number()} "
            f"on {socket.gethostname()}; --machine.timeout-seconds says how long to wait). The run goes on from its "
            f"last checkpoint with the same command, or by itself under torchrun's max-restarts"
        ) from None


def _roll_call() -> list[int]:
    """The processes that do not sign within a few seconds."""
    names = [f"moco/roll-call/{i}" for i in range(count())]
    missing = [i for i in range(count()) if i != number()]
    try:
        store = dist.distributed_c10d._get_default_store()
        store.set(names[number()], "here")
        until = time.monotonic() + _ROLL_CALL_SECONDS
        while missing and time.monotonic() < until:
            time.sleep(0.1)
            missing = [i for i in missing if not store.check([names[i]])]
    except RuntimeError:
        return [0]  # the store went down, and with it whoever kept it
    return missing


def _named(numbers: Sequence[int]) -> str:
    return f"process{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
