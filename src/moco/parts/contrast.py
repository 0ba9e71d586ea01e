"""The loss, the momentum update and keys in shuffled order, for loops of one's own (v1, section 3 and Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from moco import distributed
from moco.arguments import words
from moco.errors import MocoError
from moco.ops import draw
from moco.ops import momentum as _momentum
from moco.ops.info_nce import Alike, Contrast, Loss
from moco.ops.info_nce import info_nce as _info_nce
from moco.parts import refuse


def info_nce(
    q: Tensor,
    key: Tensor,
    others: Tensor,
    log_count: Tensor | None = None,
    scale: Tensor | None = None,
    alike: Alike | None = None,
    *,
    temperature: float,
    hardness: float = 0.0,
) -> Loss:
    """-log exp(q.k+/tau) / sum_i exp(q.k_i/tau), the mean over a batch (v1, equation 1), in fp32 under any autocast.

        loss = moco.info_nce(q, *queue.look_up(k), temperature=0.2).loss

    `q` (N x C) are queries, `key` (N x C) the positive of each, `others` (M x C) the negatives of all, each row of unit
    length. `log_count` (N x M) is the logarithm of how often a query has a negative (-inf: never), `scale` (M) what
    each row of `others` is multiplied by, as in an int8 queue, `alike` says by groups which negatives a query does
    without. With `hardness` a negative counts exp(hardness q.k/tau) times, 1 in the mean over a query's negatives
    (arXiv:2010.04592). Negatives without gradient are streamed: no N x M tensor is held. Besides `loss` the answer has
    `accuracy`, `positive` and `negative`, tensors without gradient. Raises MocoError for other shapes, types or
    devices, and for rows that are not of unit length.
    """
    name = "info_nce"
    refuse.vectors(name, "q", q)
    refuse.vectors(name, "key", key)
    if scale is None:
        refuse.tensor(name, "others", others, "M x C", "floating", "one row for each negative")
    else:
        refuse.tensor(name, "scale", scale, "M", "floating", "one for each negative")
        refuse.tensor(name, "others", others, "M x C", "integer", "one row for each negative, times its scale")
    if log_count is not None:
        refuse.tensor(name, "log_count", log_count, "N x M", "floating", "0 where a query has a negative once")
    if alike is not None:
        refuse.instance(name, "alike", alike, Alike, "give a moco.ops.info_nce.Alike, or None")
    refuse.together(name, {"q": q, "key": key, "others": others, "log_count": log_count, "scale": scale})
    refuse.same_shape(name, "q", q, "key", key)
    refuse.same_width(name, "q", q, "others", others)
    refuse.positive(name, "temperature", temperature)
    refuse.number(name, "hardness", hardness, least=0)
    if log_count is not None and log_count.shape != (len(q), len(others)):
        raise MocoError(
            f"moco.{name}: log_count is {words(log_count)}; give {len(q)} x {len(others)}: a row for each "
            "query, a column for each negative"
        )
    if scale is not None and scale.shape != (len(others),):
        raise MocoError(f"moco.{name}: scale is {words(scale)}; give {len(others)}: one for each negative")
    refuse.unit_vectors(name, "q", q)
    refuse.unit_vectors(name, "key", key)
    if scale is None:  # what is in a long queue, `update` has looked at
        refuse.unit_vectors(name, "others", others, always=len(others) <= 4 * len(q))
    return _info_nce(q, Contrast(key, others, log_count, scale, alike), temperature, hardness=hardness)


def momentum_update_(key: nn.Module, query: nn.Module, m: float = 0.999) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q (v1, equation 2), for all parameters of two modules of the same kind.

    Changes `key` alone. Statistics of BatchNorm are left: they are the key encoder's own, as in the papers. Call it
    after the optimizer's step. Raises MocoError where the modules differ, parameters are not fp32 (in half precision
    steps of 1 - m are rounded to nothing), they are on different devices, or m is not between 0 and 1.
    """
    name = "momentum_update_"
    for argument, module in (("key", key), ("query", query)):
        refuse.instance(name, argument, module, nn.Module, "give the encoder itself, a torch.nn.Module")
    refuse.number(name, "m", m, least=0, most=1)
    ours, theirs = list(key.parameters()), list(query.parameters())
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        n = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a.shape != b.shape), None)
        what = (
            f"{len(ours)} and {len(theirs)} parameters"
            if n is None
            else f"parameter {n} of shape {_shape(ours[n])} and {_shape(theirs[n])}"
        )
        raise MocoError(f"moco.{name}: key and query have {what}; make the key encoder by copy.deepcopy(query)")
    for argument, parameters in (("key", ours), ("query", theirs)):
        half = next((p for p in parameters if p.dtype != torch.float32), None)
        if half is not None:
            raise MocoError(
                f"moco.{name}: {argument} has {words(half.detach())}; keep its parameters in fp32 "
                "(module.float()) and use torch.autocast for speed"
            )
    if ours and ours[0].device != theirs[0].device:
        raise MocoError(
            f"moco.{name}: key is on {ours[0].device} and query on {theirs[0].device}; put both on one device"
        )
    _momentum.momentum_update_(ours, theirs, m)


@torch.no_grad()
def shuffled_keys(encoder: Callable[[Tensor], Tensor], images: Tensor, *, step: int, seed: int = 0) -> Tensor:
    """The keys (N x C) of images (N x 3 x S x S), encoded in an order drawn for this step (v1, section 3.3).

    With `moco.group_batch_norm` the groups of the keys then differ from those of their queries, and a batch's
    statistics give no positive away. The order is that of `moco pretrain` with this seed. Where torch.distributed has
    several processes, images are shuffled over all of them; all call this with the same number of images. Without
    gradient. Raises MocoError for anything but N x C x H x W of floating point.
    """
    name = "shuffled_keys"
    if not callable(encoder):
        raise MocoError(f"moco.{name}: encoder is {words(encoder)}; give the key encoder, which maps images to keys")
    refuse.tensor(name, "images", images, "N x C x H x W", "floating", "views, as moco.views makes them")
    held = next(encoder.parameters(), images) if isinstance(encoder, nn.Module) else images
    refuse.together(name, {"images": images, "encoder": held})
    refuse.number(name, "step", step, least=0, whole=True)
    refuse.number(name, "seed", seed, least=0, whole=True)
    order = draw.permutation(len(images) * distributed.count(), seed, draw.stream("shuffle"), step, 0)
    return distributed.permute(encoder(distributed.permute(images, order)), np.argsort(order))


def _shape(p: Tensor) -> str:
    return " x ".join(map(str, p.shape)) or "()"
