"""A resumable checkpoint of the official code of MoCo v3 (main_moco.py): the state of a run, by names and values."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from moco.foreign.containers import Contents, Tensors
from moco.foreign.prefixes import below

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
_HEADS = r"^(?:fc|head)\.(?=\d)"
"""A ResNet's projector is called fc, a ViT's head."""


@dataclass(frozen=True)
class OfficialV3:
    """Both encoders, the predictor, the solver and the epoch; there is no queue."""

    epoch: int
    """Epochs that are done."""
    query: Tensors
    """base_encoder, by our names."""
    key: Tensors
    predictor: Tensors
    solver: dict[str, dict[str, Tensor]]
    """What the solver keeps (`mu` of LARS, `exp_avg`, `exp_avg_sq`, `step` of AdamW) for each trained parameter.

    By the names of `query`, and those of the predictor behind `predictor.`."""

    @property
    def shape(self) -> dict[str, int]:
        """Numbers of head and predictor that a recipe has."""
        layers = [v for k, v in self.query.items() if re.fullmatch(r"head\.\d+\.weight", k) and v.ndim == 2]
        behind = [v for k, v in self.predictor.items() if k.endswith("weight") and v.ndim == 2]
        return {
            "encoder.dim": int(layers[-1].shape[0]),
            "encoder.head_layers": len(layers),
            "encoder.head_width": int(layers[0].shape[0]),
            "predictor.layers": len(behind),
            "predictor.width": int(behind[0].shape[0]),
        }


def ours(name: str) -> str:
    """The name that a tensor of an official encoder has in ours."""
    return re.sub(_HEADS, "head.", name) if re.match(_HEADS, name) else f"backbone.{name}"


def read_official_v3(held: Contents, prefix: str) -> OfficialV3 | None:
    """The state that lies around the encoder at `prefix`; None where the file is not resumable."""
    above = prefix.removesuffix("base_encoder.")
    if above == prefix:
        return None
    query, key = below(held.tensors, prefix), below(held.tensors, f"{above}momentum_encoder.")
    predictor, epoch = below(held.tensors, f"{above}predictor."), held.words.get("epoch")
    heads = any(re.match(_HEADS, name) for name in query)
    if not (query and predictor and heads and query.keys() == key.keys() and isinstance(epoch, int)):
        return None
    solver = _solver(held, list(query), list(key), [f"predictor.{name}" for name in predictor])
    if not solver:
        return None
    renamed = [{ours(name): tensor for name, tensor in tensors.items()} for tensors in (query, key)]
    return OfficialV3(epoch, renamed[0], renamed[1], predictor, solver)


def _solver(held: Contents, query: list[str], key: list[str], predictor: list[str]) -> dict[str, dict[str, Tensor]]:
    """It numbers the parameters of all modules, in order; those without a gradient have no state."""
    found: dict[str, dict[str, Tensor]] = {}
    number = -1
    for names, kept in ((query, True), (key, False), (predictor, True)):
        for name in (n for n in names if not n.endswith(_BUFFERS)):
            number += 1
            state = below(held.tensors, f"optimizer.state.{number}.")
            if state and kept:
                found[name if name.startswith("predictor.") else ours(name)] = state
    return found
