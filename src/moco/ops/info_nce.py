"""InfoNCE, the contrastive loss (v1, equation 1)."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

_TIE = 1e-6
"""Cosines that differ by less are equal: it is what fp32 sums of a few hundred products are off by."""

_BELOW = -1e4
"""Less than any cosine, and any that a learnt temperature has divided."""

_CHUNK = 1 << 19
"""Similarities computed at a time (2 MiB in fp32: they stay in a core's cache until they are summed)."""

_CHUNK_OF_A_GPU = 1 << 22
"""On other devices (16 MiB): there, a call costs more than a trip to memory."""


class Alike(NamedTuple):
    """Of which group queries and negatives are: those of one group are never contrasted."""

    queries: Tensor
    """N, whole numbers."""
    others: Tensor
    """M; -1 is of no group."""

    def table(self, rows: slice = slice(None)) -> Tensor:
        """N x M booleans: whether a query and a negative, of those in `rows`, are of one group."""
        return self.queries[:, None] == self.others[None, rows]


class Contrast(NamedTuple):
    """What a batch of N queries is contrasted with; all vectors have unit length."""

    key: Tensor
    """N x C, the positive of each query; or N x P x C, where each has several."""
    others: Tensor
    """M x C, the negatives of all queries; whole numbers where there is a `scale`."""
    log_count: Tensor | None = None
    """N x M, the logarithm of how often a query has a negative: 0 once, log 2 twice, -inf never. None: once each."""
    scale: Tensor | None = None
    """M, what each row of `others` is multiplied by. None: 1."""
    alike: Alike | None = None
    """Which negatives a query does without, as they are of its group. None: nothing is known."""


class Loss(NamedTuple):
    """The loss and what can be read off the same similarities, as tensors: reading them is the caller's choice."""

    loss: Tensor
    """Mean over the batch, with gradient."""
    accuracy: Tensor
    """Contrast accuracy: share of queries whose positive is more similar than every negative; a tie is no win."""
    positive: Tensor
    """Mean cosine of a query and its key."""
    negative: Tensor
    """Mean cosine of a query and its negatives, over the batch."""


class Sums(NamedTuple):
    """What is summed over a dictionary of M keys, for N queries."""

    hardest: Tensor
    """max_j q.k_j (N)."""
    total: Tensor
    """sum_j exp((q.k_j - hardest) / tau) (N)."""
    mixed: Tensor
    """sum_j exp((q.k_j - hardest) / tau) k_j (N x C); zeros where no gradient is needed."""
    keys: Tensor
    """sum_j k_j (C)."""
    alike: Tensor | None = None
    """Of what each query does without as alike, the sum of q.k and the number (2 x N). None: all count."""


class Summed(Protocol):
    """A way to take these sums, all in fp32, without an N x M tensor."""

    def __call__(self, q: Tensor, others: Tensor, scale: Tensor | None, temperature: float, gradient: bool) -> Sums: ...


def chunked(
    q: Tensor, others: Tensor, scale: Tensor | None, temperature: float, gradient: bool, alike: Alike | None = None
) -> Sums:
    """The sums chunk by chunk, as tensor functions; without the pairs that are alike."""
    hardest = q.new_full((len(q),), -torch.inf if alike is None else _BELOW)
    total = q.new_zeros(len(q))
    left_out = None if alike is None else q.new_zeros(2, len(q))
    mixed = torch.zeros_like(q)
    sum_of_keys = q.new_zeros(q.shape[1])
    rows = max(1, (_CHUNK if q.device.type == "cpu" else _CHUNK_OF_A_GPU) // len(q))
    room = q.new_empty(len(q) * min(rows, len(others)))
    for first in range(0, len(others), rows):
        keys = others[first : first + rows].float()
        if scale is not None:
            keys = keys * scale[first : first + rows, None]
        sum_of_keys += keys.sum(dim=0)
        similar = torch.mm(q, keys.T, out=room[: len(q) * len(keys)].view(len(q), -1))
        same = None if alike is None else alike.table(slice(first, first + rows))
        if same is not None and left_out is not None:
            left_out += torch.stack([similar.mul(same).sum(dim=1), same.sum(dim=1)])
            similar.masked_fill_(same, _BELOW)
        before, hardest = hardest, torch.maximum(hardest, similar.amax(dim=1))
        weights = similar.sub_(hardest[:, None]).div_(temperature).exp_()
        if same is not None:
            weights.masked_fill_(same, 0.0)
        fade = ((before - hardest) / temperature).exp_()
        total.mul_(fade).add_(weights.sum(dim=1))
        if gradient:
            mixed.mul_(fade[:, None]).addmm_(weights, keys)
    return Sums(hardest, total, mixed, sum_of_keys, left_out)


def streams(contrast: Contrast) -> bool:
    """Whether `info_nce` sums over these negatives without holding their similarities."""
    return contrast.log_count is None and not contrast.others.requires_grad


def info_nce(
    q: Tensor, contrast: Contrast, temperature: float | Tensor, summed: Summed = chunked, hardness: float = 0.0
) -> Loss:
    """-log exp(q.k+/tau) / sum_i exp(q.k_i/tau), over the positive and all negatives, in fp32 whatever the autocast.

    q is N x C of unit length. A dictionary, whose keys have no gradient, is streamed: no N x M tensor is ever held.
    Negatives that have gradients, or count differently for each query, are few: their N x M logits are kept.
    `summed` is the way to sum over the dictionary. Of several positives, all are in the sum, and the mean over them is
    taken outside of the logarithm (SupCon, arXiv:2004.11362, equation 2). A temperature that is a tensor
    has a gradient. With `hardness` beta a negative counts exp(beta q.k/tau) times, over the mean of that over the
    query's negatives, without a gradient of its own (arXiv:2010.04592, equation 4 with tau+ = 0).
    """
    if isinstance(temperature, Tensor):
        with torch.autocast(q.device.type, enabled=False):
            found, tau = info_nce(q.float() / temperature, contrast, 1.0, summed, hardness), temperature.detach()
        return Loss(found.loss, found.accuracy, found.positive * tau, found.negative * tau)
    with torch.autocast(q.device.type, enabled=False):
        q = q.float()
        if streams(contrast):
            summed = summed if contrast.alike is None else partial(chunked, alike=contrast.alike)
            logsumexp, hardest, negative = _streamed(q, contrast, temperature, summed, hardness)
        else:
            logsumexp, hardest, negative = _held(q, contrast, temperature, hardness)
        if contrast.key.ndim == 2:
            positive = (q * contrast.key.float()).sum(dim=1)
            loss = F.softplus(logsumexp - positive / temperature).mean()
        else:
            positive = torch.einsum("nc,npc->np", q, contrast.key.float())
            every = torch.logaddexp(torch.logsumexp(positive / temperature, dim=1), logsumexp)
            loss, hardest = (every[:, None] - positive / temperature).mean(), hardest[:, None]
        with torch.no_grad():
            accuracy = (positive > hardest + _TIE).float().mean()
    return Loss(loss, accuracy, positive.detach().mean(), negative)


def _streamed(
    q: Tensor, contrast: Contrast, temperature: float, summed: Summed, hardness: float
) -> tuple[Tensor, Tensor, Tensor]:
    """logsumexp, hardest (N each) and mean similarity; of weighted negatives by a second pass, for the mean weight.

    sum_j w_j exp(s_j) is M sum_j exp((1 + beta) s_j) / sum_j exp(beta s_j): two sums at other temperatures.
    """
    given = contrast.others, contrast.scale, summed
    logsumexp, hardest, negative = _Stream.apply(q, *given, temperature / (1 + hardness), temperature)
    if hardness > 0:
        weights = _Stream.apply(q.detach(), *given, temperature / hardness, temperature)[0]
        number = torch.full_like(weights, len(contrast.others))
        if contrast.alike is not None:
            number -= contrast.alike.table().sum(dim=1)
        logsumexp = logsumexp - (weights - number.log()).nan_to_num(0.0)  # of a query without negatives, nothing
    return logsumexp, hardest, negative


class _Stream(torch.autograd.Function):
    """log sum_j exp(q.k_j/tau) and max_j q.k_j of each query (N), and the mean of all q.k_j.

    The gradient, sum_j softmax_j k_j / `per`, is summed in the same pass, so that no similarity is needed twice: two
    products of N x M x C in all, as many as forward and backward of the plain form take. `per` is tau; another, where
    a part of the exponent is a constant weight.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, others: Tensor, scale: Tensor | None, summed: Summed, temperature: float, per: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        hardest, total, mixed, sum_of_keys, alike = summed(q, others, scale, temperature, ctx.needs_input_grad[0])
        if alike is None:
            negative = q.mean(dim=0) @ sum_of_keys / len(others)
        else:  # a query that is alike to all has no negative, and no gradient from any
            negative = ((q @ sum_of_keys - alike[0]) / (len(others) - alike[1]).clamp_min(1)).mean()
        divisor = total if alike is None else total.clamp_min(torch.finfo(total.dtype).tiny)
        ctx.save_for_backward(mixed.div_(divisor[:, None]).div_(per))
        ctx.mark_non_differentiable(hardest, negative)
        return total.log() + hardest / temperature, hardest, negative

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (mixed,) = ctx.saved_tensors
        return grad[:, None] * mixed, None, None, None, None, None


def _held(q: Tensor, contrast: Contrast, temperature: float, hardness: float) -> tuple[Tensor, Tensor, Tensor]:
    """logsumexp, hardest (N each) and mean similarity, with the logits held."""
    negatives = q @ _rows(contrast).T
    logits = negatives / temperature
    log_count = _log_count(contrast)
    if hardness > 0:
        logits = logits + _log_weights(logits.detach(), log_count, hardness)
    if log_count is None:
        return torch.logsumexp(logits, dim=1), negatives.detach().amax(dim=1), negatives.detach().mean()
    with torch.no_grad():
        hardest = negatives.masked_fill(log_count == -torch.inf, -torch.inf).amax(dim=1)
        count = log_count.exp()
        mean = ((negatives * count).sum(dim=1) / count.sum(dim=1).clamp_min(1e-12)).mean()
    none = (log_count == -torch.inf).all(dim=1, keepdim=True)  # whose sum of nothing would have no gradient
    logsumexp = torch.logsumexp((logits + log_count).masked_fill(none, 0.0), dim=1)
    return logsumexp.masked_fill(none[:, 0], -torch.inf), hardest, mean


def _log_weights(logits: Tensor, log_count: Tensor | None, hardness: float) -> Tensor:
    """N x M, the logarithm of what each negative counts beside the others, 1 in the mean over a query's negatives."""
    count = torch.zeros_like(logits) if log_count is None else log_count
    mean = torch.logsumexp(hardness * logits + count, dim=1) - torch.logsumexp(count, dim=1)
    return hardness * logits - mean.nan_to_num(0.0)[:, None]  # of a query without negatives, nothing


def _log_count(contrast: Contrast) -> Tensor | None:
    """N x M, how often each negative counts, those that are alike never; None: once each."""
    if contrast.alike is None:
        return contrast.log_count
    same = contrast.alike.table()
    once = contrast.log_count if contrast.log_count is not None else torch.zeros(same.shape, device=same.device)
    return once.masked_fill(same, -torch.inf)


def _rows(contrast: Contrast) -> Tensor:
    rows = contrast.others.float()
    return rows if contrast.scale is None else rows * contrast.scale[:, None]


def info_nce_plain(q: Tensor, contrast: Contrast, temperature: float, hardness: float = 0.0) -> Tensor:
    """The same as the paper's Algorithm 1 writes it: cross-entropy of (1 + M) logits with label 0.

    Of several positives, that of (P + M) logits with each of the P labels in turn, and their mean. With `hardness`, of
    logits of negatives to which the logarithms of their weights are added.
    """
    keys = contrast.key if contrast.key.ndim == 3 else contrast.key[:, None]
    positive = torch.einsum("nc,npc->np", q, keys)
    negatives = torch.einsum("nc,mc->nm", q, _rows(contrast))
    logits = torch.cat([positive, negatives], dim=1) / temperature
    log_count = _log_count(contrast)
    if hardness > 0:
        logits = logits + F.pad(_log_weights(negatives.detach() / temperature, log_count, hardness), (keys.shape[1], 0))
    if log_count is not None:
        logits = logits + F.pad(log_count, (keys.shape[1], 0))
    each = [
        F.cross_entropy(logits, torch.full((len(q),), p, dtype=torch.long, device=q.device))
        for p in range(keys.shape[1])
    ]
    return torch.stack(each).mean()
