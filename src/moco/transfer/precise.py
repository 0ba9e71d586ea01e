"""BatchNorm's statistics for judging: averages over batches of now, not a memory of weights that have changed since.

Detectron2 calls it PRECISE_BN (Wu and Johnson, arXiv:2105.07576, section 3), and the papers use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import nn

from moco import distributed
from moco.transfer.batches import Loader, shares_norms
from moco.transfer.parts.norm import FrozenBatchNorm
from moco.transfer.tuning import Tuning, losses_of


@contextmanager
def precise_norms(t: Tuning, loader: Loader) -> Iterator[None]:
    """Inside, running statistics are means over the recipe's number of batches; afterwards, what they were.

    Never over more batches than a tenth of the schedule has steps. Training is not touched, so that it goes on bit for
    bit.
    """
    batches = min(t.recipe.precise_norm, t.recipe.schedule.steps // 10)
    norms = [m for m in t.model.modules() if isinstance(m, nn.BatchNorm2d) and not isinstance(m, FrozenBatchNorm)]
    if not batches or not norms:
        yield
        return
    kept = [[b.clone() for b in norm.buffers()] for norm in norms]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all batches
        with torch.no_grad():
            for step in islice(loader.steps(0), batches):
                for group in step.groups:
                    losses_of(t, group)
        if not shares_norms(t.recipe):
            distributed.average_([b for norm in norms for b in norm.buffers() if b.is_floating_point()])
        yield
    finally:
        for norm, buffers, momentum in zip(norms, kept, momenta, strict=True):
            norm.momentum = momentum
            for now, before in zip(norm.buffers(), buffers, strict=True):
                now.copy_(before)
