"""Optimizers, and learning rates as functions of the step alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from moco import recipe as r


def build_optimizer(choice: r.SGD | r.LARS | r.AdamW, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters that have gradients."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    match choice:
        case r.SGD(lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov):
            return torch.optim.SGD(
                parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov, foreach=True
            )
        case r.AdamW(lr=lr, betas=betas, weight_decay=decay):
            return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=decay, foreach=True)
        case r.LARS(lr=lr, momentum=momentum, weight_decay=decay, trust=trust, rate=rate):
            weights = [p for p in parameters if p.ndim > 1]
            rest = [p for p in parameters if p.ndim <= 1]
            plain: dict[str, object] = {"params": rest, "weight_decay": 0.0, "trust": None}
            groups: list[dict[str, object]] = [{"params": weights}, plain]
            return LARS(groups, lr, momentum, decay, trust, rate == "outside")


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You et al., arXiv:1708.03888), as SimCLR uses it.

    The rate of a tensor is multiplied by trust |w| / |g + decay w|; a group with `trust=None` keeps the plain rate.
    The rate goes into the velocity, so that a changed rate acts on new gradients alone, or `outside` stands before it.
    """

    def __init__(
        self,
        params: Iterable[dict[str, object]],
        lr: float,
        momentum: float,
        weight_decay: float,
        trust: float,
        outside: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})
        self._outside = outside

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; gradients must be there."""
        assert closure is None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._step_one(p, p.grad, group)

    def _step_one(self, p: Tensor, grad: Tensor, group: dict[str, float]) -> None:
        direction = grad.add(p, alpha=group["weight_decay"])
        if group["trust"] is not None:
            w, g = p.norm(), direction.norm()
            direction = direction * torch.where((w > 0) & (g > 0), group["trust"] * w / g, torch.ones_like(w))
        state = self.state[p]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(p)
        inside, outside = (1.0, group["lr"]) if self._outside else (group["lr"], 1.0)
        state["velocity"].mul_(group["momentum"]).add_(direction, alpha=inside)
        p.sub_(state["velocity"], alpha=outside)


def learning_rate(recipe: r.Recipe, step: int, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0. Cosine and steps as in the official code: whole epochs unless said."""
    base = recipe.optim.lr
    epoch = step / steps_per_epoch
    match recipe.schedule:
        case r.Steps(at=at, factor=factor):
            return base * factor ** sum(int(epoch) >= milestone for milestone in at)
        case r.Decay(every=every, factor=factor):
            return base * factor ** (step // every)
        case r.Cosine(per=per, first_epoch=first, warmup_epochs=warmup, cycles=cycles):
            epochs = recipe.length(steps_per_epoch) / steps_per_epoch
            warmup = min(warmup, epochs)
            if epoch < warmup:
                return base * (step + 1) / (warmup * steps_per_epoch)
            e = (epoch if per == "step" else math.floor(epoch)) + first - warmup
            turn = cycles * e / max(epochs - warmup, 1e-9)
            begun = min(int(turn + 1e-9), cycles - 1)  # a third of three times a number may be less than it
            return base * 0.5 * (1 + math.cos(math.pi * (turn - begun)))


def momentum(recipe: r.Recipe, step: int, steps_per_epoch: int) -> float:
    """m of equation 2 behind a step, counted from 0; 1 where no encoder follows another.

    Where it rises (v3), it is that at the end of the step: the official code takes it at the beginning of the next.
    """
    match recipe.keys:
        case r.Momentum(m=m, to_one=True):
            steps = max(1, recipe.length(steps_per_epoch))
            return 1 - (1 - m) * 0.5 * (1 + math.cos(math.pi * min(1.0, (step + 1) / steps)))
        case r.Momentum(m=m):
            return m
        case _:
            return 1.0


def set_learning_rate_(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """All groups at this rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr
