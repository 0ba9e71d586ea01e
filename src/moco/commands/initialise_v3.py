"""Into a training at step 0, the whole state of a run of the official code of MoCo v3."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from moco.foreign.containers import Tensors
from moco.foreign.official_v3 import OfficialV3
from moco.recipe import LARS, AdamW, Momentum
from moco.training import Training


def unlike_v3(t: Training, official: OfficialV3) -> str | None:
    """Why a training cannot go on from this state; None where it can."""
    recipe = t.recipe
    if t.model.predictor is None or not isinstance(recipe.keys, Momentum):
        return f"the recipe {recipe.name} has no predictor before the keys of a momentum encoder"
    kept = next(iter(official.solver.values()))
    match recipe.optim:
        case LARS(rate="outside") if "mu" in kept:
            pass
        case AdamW() if "exp_avg" in kept:
            pass
        case _:
            name = "AdamW" if "exp_avg" in kept else "LARS (--optim.rate outside)" if "mu" in kept else "another"
            return f"its solver is {name}"
    for ours, theirs, what in (
        (t.model.query_encoder, official.query, "its backbone or head is another"),
        (t.model.predictor, official.predictor, "its predictor is another"),
    ):
        if {k: v.shape for k, v in ours.state_dict().items()} != {k: v.shape for k, v in theirs.items()}:
            return what
    trained = {name for name, p in _parameters(t).items() if p.requires_grad}
    if trained != set(official.solver):
        odd = sorted(trained ^ set(official.solver))[0]
        return f"its solver trains other parameters ({odd}; --encoder.frozen-patches is what --stop-grad-conv1 was)"
    return None


def take_v3_(t: Training, official: OfficialV3, fill: Callable[[nn.Module, Tensors], object]) -> list[str]:
    """Both encoders, predictor and solver, as the official code would go on; what was taken.

    It updates the key encoder before the keys of a step are made, and so saves it one update behind: that is made here.
    """
    assert t.model.key_encoder is not None
    assert t.model.predictor is not None
    fill(t.model.query_encoder, official.query)
    fill(t.model.key_encoder, official.key)
    fill(t.model.predictor, official.predictor)
    parameters = _parameters(t)
    for name, kept in official.solver.items():
        state = t.optimizer.state[parameters[name]]
        for word, tensor in kept.items():
            like = parameters[name] if tensor.ndim else torch.zeros(())
            state["velocity" if word == "mu" else word] = torch.empty_like(like).copy_(tensor)
    t.step = official.epoch * t.steps_per_epoch - 1
    t.model.momentum_update(t.m)
    return ["both encoders", "the predictor", "the solver"]


def _parameters(t: Training) -> dict[str, nn.Parameter]:
    assert t.model.predictor is not None
    behind = {f"predictor.{name}": p for name, p in t.model.predictor.named_parameters()}
    return dict(t.model.query_encoder.named_parameters()) | behind
