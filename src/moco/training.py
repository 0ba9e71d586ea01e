"""One training: its parts, its state, and the step in the order of the paper's Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from moco import distributed
from moco.backbones import refuse_size
from moco.data.loader import Batch, Plan
from moco.device import Placement, seeded
from moco.dictionary import BatchKeys, KeyQueue, MemoryBank, build_dictionary
from moco.errors import MocoError
from moco.model import Contrastive
from moco.ops import draw
from moco.ops.crop import beside
from moco.ops.info_nce import Loss, Summed, chunked, info_nce
from moco.ops.sync_batch_norm import norms_over_processes
from moco.optim import build_optimizer, learning_rate, set_learning_rate_
from moco.recipe import Recipe, Stored
from moco.shuffle import Unmade
from moco.views import KEY, QUERY, Views

_NEVER = torch.iinfo(torch.int64).max


@dataclass
class Training:
    """Everything a step reads and changes. What is not in `state` is a function of the recipe and the step."""

    recipe: Recipe
    placement: Placement
    steps_per_epoch: int
    views: Views
    model: Contrastive
    dictionary: KeyQueue | BatchKeys | MemoryBank
    optimizer: torch.optim.Optimizer
    first_bad: Tensor
    """The first step whose loss was not finite, kept on the device so that no step waits for it."""
    step: int = 0
    summed: Summed = chunked
    """How the loss sums over the dictionary."""

    def state(self) -> dict[str, Any]:
        """All that changes from step to step."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "dictionary": self.dictionary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave, bit for bit; raises RuntimeError where it is of another recipe."""
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        self.dictionary.load_state_dict(state["dictionary"])
        self.optimizer.load_state_dict(state["optimizer"])

    def refuse_difference(self) -> None:
        """Raise MocoError, with the process's number, where a process no longer holds what the others hold."""
        if distributed.count() > 1:
            optimizer = [v for s in self.optimizer.state.values() for v in s.values() if isinstance(v, Tensor)]
            parts = {"the encoders": self.model.state_dict().values(), "the optimizer": optimizer}
            parts["the dictionary"] = self.dictionary.state_dict().values()
            sums = {name: distributed.checksum(tensors) for name, tensors in parts.items()}
            distributed.refuse_difference({"the step": self.step, **sums})

    def refuse_bad_loss(self) -> None:
        """Raise MocoError if the loss of any step so far, or a weight now, is not finite; waits for the device."""
        bad = self.bad_step()
        if bad is None and not self.finite():
            bad = self.step
        if bad is not None:
            raise MocoError(
                f"the loss or the weights are not finite numbers since step {bad} (noticed at step {self.step}); the "
                "last checkpoint is from before that. Lower --optim.lr in a new run, or use --machine.precision fp32"
            )

    @property
    def lr(self) -> float:
        """The learning rate of the coming step."""
        return learning_rate(self.recipe, self.step, self.steps_per_epoch)

    def finite(self) -> bool:
        """Whether all weights of the query encoder are finite; waits for the device."""
        norms = torch._foreach_norm([p.detach() for p in self.model.query_encoder.parameters()])
        return bool(torch.stack(list(norms)).isfinite().all())

    def bad_step(self) -> int | None:
        """The first step with a loss that was not finite; waits for the device."""
        step = int(self.first_bad)
        return None if step == _NEVER else step


def build_training(recipe: Recipe, images: int, placement: Placement) -> Training:
    """A training at step 0, for a data set of so many images: all weights and keys are functions of the recipe's seed.

    Raises MocoError where the backbone is unknown, the queue is as large as the data, or the batch or its BatchNorm
    groups do not fit the number of processes.
    """
    with seeded(recipe.seed, torch.device("cpu")):
        model = Contrastive(recipe)
    refuse_size(model.query_encoder.backbone, recipe.encoder.backbone, recipe.image_size)
    norms_over_processes(model, recipe.batch, recipe.encoder.norm_group)
    dictionary = build_dictionary(recipe, images, torch.Generator().manual_seed(recipe.seed + 1))
    placement.put(model)
    dictionary.to(placement.device)
    return Training(
        recipe=recipe,
        placement=placement,
        steps_per_epoch=Plan(images, recipe.batch, recipe.epochs, recipe.seed).steps_per_epoch,
        views=Views(recipe, key=not isinstance(recipe.keys, Stored)),  # a stored key needs no second view
        model=model.train(),
        dictionary=dictionary,
        optimizer=build_optimizer(recipe.optim, model),
        first_bad=torch.tensor(_NEVER, device=placement.device),
    )


def train_step(t: Training, batch: Batch) -> Loss:
    """One step of momentum contrast, in the order of the paper's Algorithm 1. Nothing in it waits for the device.

    Takes the images of step `t.step` and moves `t` on by one; the mean loss of the halves and what goes with it, each a
    tensor without gradient. Raises MocoError where the batch has more keys than the queue.
    """
    recipe = t.recipe
    x_q, x_k = _views(t, batch)
    index = beside(t.first_bad, batch.index)
    layers = int(draw.counter(recipe.seed, draw.stream("layers"), t.step) >> 1)  # dropout and its kin
    with t.placement.autocast(), seeded(layers + distributed.number(), t.placement.device):
        pairs = list(t.model.pairs(x_q, x_k, t.step))  # (q, k); both ways round if symmetric
    halves = [
        info_nce(q, t.dictionary.look_up(q, k, index, t.step), recipe.loss.temperature, t.summed) for q, k in pairs
    ]
    mean = Loss(*(torch.stack(values).mean(dim=0) for values in zip(*halves, strict=True)))
    loss = mean.loss * len(halves) if recipe.loss.halves == "sum" else mean.loss

    set_learning_rate_(t.optimizer, t.lr)
    t.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    mean = Loss(*(value.detach().clone() for value in mean))
    distributed.average_([*_gradients(t.optimizer), *_running(t.model), *mean])
    t.optimizer.step()

    t.model.momentum_update()  # equation 2
    for q, k in reversed(pairs):  # enqueue last: no key is ever its own negative; of two halves, x_q's keys first
        t.dictionary.update(q, k, index)
    t.step += 1
    t.first_bad = torch.where(torch.isfinite(mean.loss), t.first_bad, t.first_bad.clamp_max(t.step))
    return mean


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def _running(model: nn.Module) -> list[Tensor]:
    """Running statistics of BatchNorm: linear in the groups' statistics, so their mean over processes is exact."""
    return [b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))]


def _views(t: Training, batch: Batch) -> tuple[Tensor, Tensor] | tuple[Unmade, Unmade]:
    if distributed.count() > 1:  # keys are encoded elsewhere: each view is made there
        device = t.placement.device
        return Unmade(batch, QUERY, partial(_view, t), device), Unmade(batch, KEY, partial(_view, t), device)
    pixels = batch.pixels.to(t.placement.device, non_blocking=True)
    if batch.sizes is None:
        return t.views.finish(pixels, batch.index, batch.epoch, t.placement.memory_format)
    return t.views(pixels, batch.sizes, batch.index, batch.epoch, t.placement.memory_format)


def _view(t: Training, batch: Batch, number: int) -> Tensor:
    pixels = batch.pixels.to(t.placement.device, non_blocking=True)
    return t.views.one(number, pixels, batch.sizes, batch.index, batch.epoch, t.placement.memory_format)
