"""Into a training at step 0, what fits of what `--init` names: backbone, head, queue, or the whole state of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from moco import distributed
from moco.commands.init import Beginning, Init, record
from moco.commands.initialise_v3 import take_v3_, unlike_v3
from moco.dictionary import KeyQueue
from moco.errors import MocoError
from moco.foreign.containers import Tensors
from moco.foreign.official import Official, ours
from moco.foreign.official_v3 import OfficialV3
from moco.foreign.open import fill_
from moco.foreign.parts import head_in, queue_in, with_channels
from moco.recipe import SGD, Momentum, Queue
from moco.run.directory import BEGINNING, RunDirectory
from moco.training import Training


def begin_(t: Training, begin: Beginning, run: RunDirectory, note: Callable[[str], None]) -> None:
    """Start a training at step 0 from what there is to start from, if anything, and keep it in the run's init.json."""
    init = begin.init
    if init is None:
        distributed.on_main(lambda: (run.path / BEGINNING).unlink(missing_ok=True))  # of a start that failed
        return
    used = start_from_(t, init, note)
    distributed.on_main(lambda: run.write(BEGINNING, record(init, begin.fields, used)))


def weights_of(begin: Beginning) -> Callable[[Training], object] | None:
    """What puts the weights of `--init` into a training that is tried out; None for random ones."""
    if begin.init is None:
        return None
    init = dataclasses.replace(begin.init, official=None)  # a trial goes on from no other run's step
    return lambda training: start_from_(training, init, lambda text: None)


def start_from_(t: Training, init: Init, note: Callable[[str], None]) -> dict[str, Any]:
    """Put into a training at step 0 what fits of it, and say what was taken and what not; what was, to be recorded.

    A resumable official checkpoint of the same shapes goes on as the run it was. Raises MocoError where not even the
    backbone fits.
    """
    if init.official is not None:
        reason = _reason(t, init.official)
        if reason is None:
            return _go_on_(t, init.official, init, note)
        note(f"--init {init.given} is the state of a run, which is not gone on with: {reason}")
    taken, left = [_backbone_(t, init)], []
    place = head_in(init.beside, t.model.query_encoder.head.state_dict())
    if place is not None:
        _fill(t.model.query_encoder.head, place[1], init)
        taken.append(f"the head ({place[0]})")
    else:
        left.append("no head of this shape in it: the head is random")
    left += _queue_(t, init, taken) if place is not None else []
    if t.model.key_encoder is not None:
        t.model.key_encoder.load_state_dict(t.model.query_encoder.state_dict())
    note(f"--init {init.given}: taken {', '.join(taken)}" + (f"; {'; '.join(left)}" if left else ""))
    return {"taken": taken, "left": left}


def _backbone_(t: Training, init: Init) -> str:
    net = t.model.query_encoder.backbone
    wanted, given = net.state_dict(), dict(init.backbone)
    about = f"the backbone ({init.architecture.about})"
    first = next((name for name, tensor in wanted.items() if tensor.ndim == 4), None)
    if first in given and given[first].shape[1] != wanted[first].shape[1]:
        has, channels = int(given[first].shape[1]), int(wanted[first].shape[1])
        given[first] = with_channels(given[first].float(), channels)
        about += f", its first convolution adapted from {has} to {channels} channels, as timm does"
    wrong = [k for k in wanted if k not in given or given[k].shape != wanted[k].shape]
    wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
    if wrong or t.recipe.encoder.stem != init.architecture.stem or init.architecture.name is None:
        raise MocoError(
            f"--init {init.given} is {init.architecture.about} with the stem {init.architecture.stem}; this run's is "
            f"{t.recipe.encoder.backbone} with {t.recipe.encoder.stem}; leave out --encoder.backbone and --encoder.stem"
        )
    return "; ".join([about, *_fill(net, given, init)])


def _queue_(t: Training, init: Init, taken: list[str]) -> list[str]:
    """Its queue, if it has one of this length; what there is to say where it has not."""
    if not isinstance(t.dictionary, KeyQueue):
        return []
    found = queue_in(init.beside, *t.dictionary.keys.shape)
    if found is None:
        size, dim = t.dictionary.keys.shape
        return [f"no queue of {size:,} x {dim} in it: the queue is random"]
    t.dictionary.fill(found[1], found[2])
    taken.append(f"the queue ({found[0]})")
    return []


def _fill(net: nn.Module, tensors: Tensors, init: Init) -> list[str]:
    with torch.no_grad():
        return fill_(net, dict(tensors), Path(init.file or init.given))


def _unlike(t: Training, official: Official) -> str | None:
    """Why a training cannot go on from this state; None where it can."""
    recipe = t.recipe
    dim, size = official.queue.shape
    if not isinstance(recipe.keys, Momentum) or not isinstance(recipe.dictionary, Queue):
        return f"the recipe {recipe.name} has no queue of a momentum encoder's keys"
    if not isinstance(recipe.optim, SGD):
        return "its solver is SGD"
    if size != recipe.dictionary.size:
        return f"its queue has {size:,} keys, --dictionary.size is {recipe.dictionary.size:,}"
    mine = t.model.query_encoder.state_dict()
    theirs = {ours(name): tensor.shape for name, tensor in official.query.items()}
    if {k: v.shape for k, v in mine.items()} != theirs:
        return f"its head is of {official.head_layers or 'other'} layers and {dim} numbers, or its backbone another"
    return None


def _reason(t: Training, official: Official | OfficialV3) -> str | None:
    """Why a training cannot go on from this state; None where it can."""
    match official:
        case Official():
            return _unlike(t, official)
        case OfficialV3():
            return unlike_v3(t, official)


def _go_on_(t: Training, official: Official | OfficialV3, init: Init, note: Callable[[str], None]) -> dict[str, Any]:
    """The whole state of a run, at the epoch that it had reached."""
    step = official.epoch * t.steps_per_epoch
    if t.recipe.epochs is not None and official.epoch >= t.recipe.epochs:
        query = "module.base_encoder" if isinstance(official, OfficialV3) else "module.encoder_q"
        raise MocoError(
            f"--init {init.given} is the end of epoch {official.epoch} and --epochs is {t.recipe.epochs}: nothing is "
            f"left to do; raise --epochs, or name {init.given}#{query} to start a new run from its encoder"
        )
    match official:
        case Official():
            taken = _take_(t, official, init)
        case OfficialV3():
            taken = take_v3_(t, official, lambda net, tensors: _fill(net, tensors, init))
    t.step = step
    note(
        f"--init {init.given}: going on as the run it was, at epoch {official.epoch + 1} (step {step:,}): "
        f"{', '.join(taken)} are taken; rates are the recipe's"
    )
    return {"taken": [*taken, f"epoch {official.epoch}"], "left": []}


def _take_(t: Training, official: Official, init: Init) -> list[str]:
    """Both encoders, queue, pointer, solver and epoch, as the official code would go on; what was taken.

    It updates the key encoder before the keys of a step are made, and so saves it one update behind: that is made here.
    """
    assert isinstance(t.dictionary, KeyQueue)
    assert t.model.key_encoder is not None
    _fill(t.model.query_encoder, {ours(k): v for k, v in official.query.items()}, init)
    _fill(t.model.key_encoder, {ours(k): v for k, v in official.key.items()}, init)
    t.dictionary.fill(official.queue.T, official.pointer)
    parameters = dict(t.model.query_encoder.named_parameters())
    for name, buffer in official.momentum.items():
        p = parameters[ours(name)]
        t.optimizer.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(buffer)
    t.model.momentum_update(t.m)
    return ["both encoders", f"the queue of {official.queue.shape[1]:,} keys", "the solver"]
