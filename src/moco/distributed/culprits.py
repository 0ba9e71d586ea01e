"""An exchange that failed, as a sentence about who did not take part."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch.distributed as dist

from moco.distributed.who import count, number
from moco.errors import MocoError

_ROLL_CALL_SECONDS = 3.0
"""How long processes that gave up waiting for one another wait for who else is there."""


@contextmanager
def culprits_are_named() -> Iterator[None]:
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
            f"{named(missing)} of {count()} did not answer (killed, hung or cut off; noticed by process {number()} "
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


def named(numbers: Sequence[int]) -> str:
    return f"process{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
