"""What the oracles of the papers share: an ordinary CPU, images of noise, GPUs by a loop, networks without kinks."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from moco.data.loader import Batch
from moco.device import Placement

CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")


def smooth_(encoder):
    """ReLU replaced by SiLU. A value that is 0 but for rounding falls on either side of a kink, and from then on two
    fp32 runs part (about one in three does in 20 steps); without kinks they stay together to 1e-6."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.SiLU())


def on_gpus(f, x, group):
    """Each group of images on a GPU of its own: its BatchNorm sees no other."""
    return torch.cat([f(x[gpu : gpu + group]) for gpu in range(0, len(x), group)])


def noise(n, images, seed=0):
    """A batch of n of so many images, 20 x 20 pixels of noise."""
    rng = np.random.default_rng(seed)
    index = rng.permutation(images)[:n]
    pixels = torch.from_numpy(rng.integers(0, 256, (n, 3, 20, 20), dtype=np.uint8))
    return Batch(pixels, np.full((n, 2), 20), index, 0, {})
