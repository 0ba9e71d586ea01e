"""One process or many are the same experiment: what processes exchange, and nothing else knows that there are many.

`torchrun` starts the processes and says in the environment who they are. Of a batch, each process holds a contiguous
share, in the order of the processes. Every function here is the identity on one process; all must be called by all
processes, in the same order.
"""

from __future__ import annotations

from moco.distributed.agree import (
    checksum,
    joined,
    largest,
    main_alone,
    meet,
    merged,
    on_each,
    on_main,
    refuse_difference,
)
from moco.distributed.exchange import Neighbours, average_, collect, gather, gather_with_gradient, permute
from moco.distributed.join import processes
from moco.distributed.who import count, first_row, main_process, number, own_device, own_rows, share

__all__ = [
    "Neighbours",
    "average_",
    "checksum",
    "collect",
    "count",
    "first_row",
    "gather",
    "gather_with_gradient",
    "joined",
    "largest",
    "main_alone",
    "main_process",
    "meet",
    "merged",
    "number",
    "on_each",
    "on_main",
    "own_device",
    "own_rows",
    "permute",
    "processes",
    "refuse_difference",
    "share",
]
