"""One training: its parts, its state, and the step in the order of the paper's Algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moco import distributed
from moco.backbones import refuse_size
from moco.data.groups import Groups
from moco.data.loader import Batch, Plan
from moco.device import Placement, seeded
from moco.dictionary import BatchKeys, KeyQueue, MemoryBank, TwoQueues, build_dictionary, halves_of
from moco.errors import MocoError
from moco.model import Asking, Contrastive, Turn
from moco.ops import draw
from moco.ops.crop import beside
from moco.ops.info_nce import Loss, Summed, chunked, info_nce
from moco.ops.running import one_batch, running
from moco.ops.sync_batch_norm import norms_over_processes
from moco.optim import build_optimizer, learning_rate, momentum, set_learning_rate_
from moco.recipe import InfoNCE, Recipe, Stored
from moco.recipe.check import refuse_parts, sides_of
from moco.shuffle import rows_of, small_views_of, views_of
from moco.text.told import Told
from moco.towers import TwoTowers
from moco.two_views import Views

_NEVER = torch.iinfo(torch.int64).max


@dataclass
class Training:
    """Everything a step reads and changes. What is not in `state` is a function of the recipe and the step."""

    recipe: Recipe
    placement: Placement
    steps_per_epoch: int
    views: Views
    model: Contrastive | TwoTowers
    dictionary: KeyQueue | BatchKeys | MemoryBank | TwoQueues
    optimizer: torch.optim.Optimizer
    first_bad: Tensor
    """The first step whose loss was not finite, kept on the device so that no step waits for it."""
    step: int = 0
    summed: Summed = chunked
    """How the loss sums over the dictionary."""
    parts: int = 1
    """How many parts of a batch are asked for one after the other, to save memory; the gradient is the whole's."""
    told: Told | None = None
    """The captions of the images, where there are any."""

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

    @property
    def m(self) -> float:
        """The momentum of the key encoder in the coming step; 1 where there is none."""
        return momentum(self.recipe, self.step, self.steps_per_epoch)

    def finite(self) -> bool:
        """Whether all weights of the query encoder are finite; waits for the device."""
        norms = torch._foreach_norm([p.detach() for p in self.model.query_encoder.parameters()])
        return bool(torch.stack(list(norms)).isfinite().all())

    def bad_step(self) -> int | None:
        """The first step with a loss that was not finite; waits for the device."""
        step = int(self.first_bad)
        return None if step == _NEVER else step


def build_training(
    recipe: Recipe,
    images: int,
    placement: Placement,
    parts: int = 1,
    groups: Groups | None = None,
    told: Told | None = None,
) -> Training:
    """A training at step 0, for a data set of so many images: all weights and keys are functions of the recipe's seed.

    `parts` is how many parts of a batch are asked for one after the other, `groups` is what a recipe with groups knows
    of the images, `told` the captions that one with a text tower learns from. Raises MocoError where the backbone is
    unknown, the queue is as large as the data, or the batch or its BatchNorm groups do not fit the number of processes
    or parts.
    """
    refuse_parts(recipe, parts, distributed.count())
    with seeded(recipe.seed, torch.device("cpu")):
        model = _model(recipe, parts, told)
    for side, flag in sides_of(recipe).items():
        refuse_size(model.query_encoder.backbone, recipe.encoder.backbone, side, flag)
    norms_over_processes(model, recipe.batch, recipe.encoder.norm_group)
    _refuse_shared_groups_of_several_vectors(recipe)
    of = None if recipe.groups is None and told is None else _groups_of(groups if told is None else told.groups)
    dictionary = build_dictionary(recipe, images, torch.Generator().manual_seed(recipe.seed + 1), of)
    placement.put(model)
    dictionary.to(placement.device)
    return Training(
        recipe=recipe,
        placement=placement,
        steps_per_epoch=Plan(images, recipe.batch, recipe.epochs, recipe.seed).steps_per_epoch,
        views=Views(recipe, key=not isinstance(recipe.keys, Stored), small=True),  # a stored key needs no second view
        model=model.train(),
        dictionary=dictionary,
        optimizer=build_optimizer(recipe.optim, model),
        first_bad=torch.tensor(_NEVER, device=placement.device),
        parts=parts,
        told=told,
    )


def _model(recipe: Recipe, parts: int, told: Told | None) -> Contrastive | TwoTowers:
    match recipe.text:
        case None:
            return Contrastive(recipe, parts)
        case text:
            if told is None:
                raise MocoError("this recipe learns from images with captions; train it by moco pretrain")
            return TwoTowers(recipe, text, told, parts)


def _refuse_shared_groups_of_several_vectors(recipe: Recipe) -> None:
    share = recipe.batch // distributed.count()
    if distributed.count() == 1 or (recipe.encoder.norm_group or recipe.batch) <= share:
        return
    for flag, value in (("--positives", recipe.positives), ("--queries.patches", recipe.queries.patches)):
        if value > 1:
            raise MocoError(
                f"{flag} {value}: BatchNorm groups that span processes hold one vector of each image; set "
                f"--encoder.norm-group to a divisor of {share}"
            )


def _groups_of(groups: Groups | None) -> Tensor:
    if groups is None:
        raise MocoError("this recipe takes positives from groups of images: name them (moco pretrain --pairs)")
    return torch.from_numpy(groups.of)


def train_step(t: Training, batch: Batch) -> Loss:
    """One step of momentum contrast, in the order of the paper's Algorithm 1. Nothing in it waits for the device.

    Takes the images of step `t.step` and moves `t` on by one; the mean loss of the halves and what goes with it, each a
    tensor without gradient. Raises MocoError where the batch has more keys than the queue.
    """
    views = t.views.at(t.step, t.recipe.length(t.steps_per_epoch))
    x_q, x_k = views_of(views, t.placement, batch, t.parts)
    small = small_views_of(views, t.placement, batch, t.parts)
    index = beside(t.first_bad, batch.index)
    layers = int(draw.counter(t.recipe.seed, draw.stream("layers"), t.step) >> 1)  # dropout and its kin

    set_learning_rate_(t.optimizer, t.lr)
    t.optimizer.zero_grad(set_to_none=True)
    with seeded(layers + distributed.number(), t.placement.device):
        with t.placement.autocast():
            turns = t.model.turns(x_q, x_k, t.step, index, small)  # keys; both ways round if symmetric
        if t.model.by_features:
            answers = [_by_features(t, turns, index)]
        else:
            answers = [_contrast(t, turns, index, rows) for rows in one_batch(t.model, rows_of(len(index), t.parts))]
    mean = _mean(a.mean for a in answers)
    distributed.average_([*_gradients(t.optimizer), *running(t.model), *mean])
    t.optimizer.step()

    t.model.momentum_update(t.m)  # equation 2
    queries = [torch.cat(parts) for parts in zip(*(a.queries for a in answers), strict=True)]
    asked = zip(turns, queries, halves_of(t.dictionary), strict=False)  # of one half, the first alone
    for turn, q, dictionary in reversed(list(asked)):  # enqueue last: no key is ever its own negative;
        dictionary.update(q, turn.keys, index)  # of two halves, x_q's keys first
    t.step += 1
    t.first_bad = torch.where(torch.isfinite(mean.loss), t.first_bad, t.first_bad.clamp_max(t.step))
    return mean


class _Answer(NamedTuple):
    """What the queries of a part of the batch came to; without gradient."""

    mean: Loss
    queries: list[Tensor]
    """Of each turn (n x C), the first that asked."""


def _contrast(t: Training, turns: Sequence[Turn], index: Tensor, rows: slice) -> _Answer:
    """Contrast the queries of these rows with the dictionary, and add their share of the batch's gradient."""
    with t.placement.autocast():
        queries = [turn.ask(rows) for turn in turns]
    return _answered(t, turns, queries, index, rows, 1 / t.parts)


def _by_features(t: Training, turns: Sequence[Turn], index: Tensor) -> _Answer:
    """The same for all parts, where heads normalise over more images than one has: the backbone twice, heads once.

    Features are made part by part, heads and loss are of the whole batch, and their gradient goes back part by part.
    """
    asked = [turn.ask for turn in turns if isinstance(turn.ask, Asking)]
    parts = rows_of(len(index), t.parts)

    def features(ask: Asking, number: int) -> Tensor:  # dropout must be the same both times
        name = draw.counter(
            t.recipe.seed, draw.stream("layers of parts"), t.step, ask.half, number, distributed.number()
        )
        with seeded(int(name >> 1), t.placement.device), t.placement.autocast():
            return ask.features(parts[number])

    with torch.no_grad():
        found = [torch.cat([features(ask, number) for number in range(t.parts)]) for ask in asked]
    leaves = [one.requires_grad_() for one in found]
    with t.placement.autocast():
        queries = [ask.vectors(leaf) for ask, leaf in zip(asked, leaves, strict=True)]
    answer = _answered(t, turns, queries, index, slice(0, len(index)), 1.0)
    for ask, leaf in zip(asked, leaves, strict=True):
        assert leaf.grad is not None
        for number, rows in enumerate(parts):
            features(ask, number).backward(leaf.grad[rows])  # type: ignore[no-untyped-call]
    return answer


def _answered(
    t: Training, turns: Sequence[Turn], queries: list[Tensor], index: Tensor, rows: slice, share: float
) -> _Answer:
    """The loss of the queries of these rows, and its gradient, times their share of the batch."""
    number = rows.stop - rows.start
    halves = [
        _mean(
            info_nce(
                q,
                dictionary.look_up(q, turn.keys, index, t.step, rows.start),
                t.model.temperature,
                t.summed,
                t.recipe.loss.hardness,
            )
            for q in asking.chunk(len(asking) // number)
        )
        for asking, turn, dictionary in zip(queries, turns, halves_of(t.dictionary), strict=False)
    ]
    mean = _mean(halves)
    (mean.loss * (_weight(t.recipe.loss) * share)).backward()  # type: ignore[no-untyped-call]
    return _Answer(Loss(*(value.detach().clone() for value in mean)), [q[:number].detach() for q in queries])


def _mean(losses: Iterable[Loss]) -> Loss:
    return Loss(*(torch.stack(values).mean(dim=0) for values in zip(*losses, strict=True)))


def _weight(loss: InfoNCE) -> float:
    """What the mean over the halves is multiplied by before its gradient is taken."""
    halves = 2.0 if loss.symmetric and loss.halves == "sum" else 1.0
    return halves * (2 * loss.temperature if loss.scaled else 1.0)


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
