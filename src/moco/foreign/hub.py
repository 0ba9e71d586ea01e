"""Weights that libraries publish, fetched by their own means; where the hub is out of reach, how to give a file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from moco.backbones import refuse_unknown
from moco.errors import MocoError


def fetch(name: str) -> dict[str, Tensor]:
    """The weights of a model of torchvision or of `timm:NAME`, by the library's names.

    Raises MocoError where there are none, and where they cannot be fetched: then with the address of the file.
    """
    refuse_unknown(name)
    return _timm(name.removeprefix("timm:")) if name.startswith("timm:") else _torchvision(name)


def _torchvision(name: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = models.get_model_weights(name)
    if not list(weights):
        raise MocoError(f"torchvision has no weights of {name}; give a file: torchvision:{name}=FILE")
    best = weights.DEFAULT
    state: dict[str, Tensor] = _fetched(
        lambda: best.get_state_dict(progress=False, check_hash=True), f"torchvision:{name}", best.url
    )
    return state


def _timm(name: str) -> dict[str, Tensor]:
    import timm

    told = timm.get_pretrained_cfg(name)
    where = getattr(told, "hf_hub_id", None) or getattr(told, "url", None)
    if not where:
        raise MocoError(f"timm has no weights of {name}; give a file: timm:{name}=FILE")
    hub = f"https://huggingface.co/{_repository(where, told)}/resolve/main/model.safetensors"
    address = where if "://" in where else hub
    net = _fetched(lambda: timm.create_model(name, pretrained=True, num_classes=0), f"timm:{name}", address)
    state: dict[str, Tensor] = net.state_dict()
    return state


def _repository(hub_id: str, told: Any) -> str:
    """timm keeps only the owner where the name is that of the model and its tag."""
    if not hub_id.endswith("/"):
        return hub_id
    return f"{hub_id}{told.architecture}" + (f".{told.tag}" if told.tag else "")


def _fetched(get: Callable[[], Any], what: str, address: str) -> Any:
    clients = logging.getLogger("huggingface_hub")  # tells of each time it asks again
    level = clients.level
    clients.setLevel(logging.ERROR)
    try:
        return get()
    except Exception as error:  # whatever the hub's client raises: no route, no name, refused, damaged
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise MocoError(
            f"the weights of {what} could not be fetched ({reason}); fetch {address} where there is a connection, "
            f"and give the file: {what}=FILE"
        ) from None
    finally:
        clients.setLevel(level)
