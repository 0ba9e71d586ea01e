"""One fine-tuning: model, optimizer and step, and what a step does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from moco import distributed
from moco.device import Placement, seeded
from moco.errors import MocoError
from moco.optim import set_learning_rate_
from moco.recipe import Normalize
from moco.transfer.batches import Group, Step, shares_norms
from moco.transfer.layouts.annotated import Part
from moco.transfer.parts.fcn import FullyConvolutional
from moco.transfer.parts.norm import freeze_norms_, share_norms_
from moco.transfer.parts.rcnn import RCNN
from moco.transfer.parts.stages import resnet_in
from moco.transfer.parts.values import Canvas, Losses
from moco.transfer.recipe import FCN, Regions, Transfer, Trial

_NEVER = torch.iinfo(torch.int64).max

Model = RCNN | FullyConvolutional


@dataclass
class Tuning:
    """Everything a step reads and changes."""

    trial: Trial
    placement: Placement
    normalize: Normalize
    model: Model
    optimizer: torch.optim.Optimizer
    first_bad: Tensor
    """The first step whose loss was not finite, kept on the device so that no step waits for it."""
    step: int = 0

    @property
    def recipe(self) -> Transfer:
        """By what it learns."""
        return self.trial.recipe

    def state(self) -> dict[str, Any]:
        """All that changes from step to step."""
        return {"step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave, bit for bit."""
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def refuse_bad_loss(self) -> None:
        """Raise MocoError if the loss of any step so far was not finite; waits for the device."""
        if int(self.first_bad) != _NEVER:
            raise MocoError(
                f"the loss is no finite number since step {int(self.first_bad)} (noticed at step {self.step}); the "
                "last checkpoint is from before that. Lower --optim.lr in a new run, or use --machine.precision fp32"
            )

    def refuse_difference(self) -> None:
        """Raise MocoError where a process no longer holds what the others hold."""
        if distributed.count() > 1:
            velocities = [v for s in self.optimizer.state.values() for v in s.values() if isinstance(v, Tensor)]
            parts = {"the model": self.model.state_dict().values(), "the optimizer": velocities}
            sums = {name: distributed.checksum(tensors) for name, tensors in parts.items()}
            distributed.refuse_difference({"the step": self.step, **sums})


def build_model(recipe: Transfer, backbone: nn.Module, part: Part, seed: int) -> Model:
    """The task's model around the stages of an encoder; what is new in it is drawn from the seed.

    Raises MocoError where the encoder is no ResNet, or the parts do not fit together.
    """
    net = resnet_in(backbone)
    if recipe.freeze_norm:
        freeze_norms_(net)
    with seeded(seed, torch.device("cpu")):
        match recipe.parts:
            case Regions() as regions:
                return RCNN(regions, net, len(part.classes), len(part.points))
            case FCN() as fcn:
                return FullyConvolutional(fcn, net, len(part.classes))


def build_tuning(trial: Trial, backbone: nn.Module, normalize: Normalize, part: Part, placement: Placement) -> Tuning:
    """A fine-tuning at step 0: a function of the start, the recipe and the seed."""
    model = build_model(trial.recipe, backbone, part, trial.seed)
    if shares_norms(trial.recipe):
        share_norms_(model)
    placement.put(model)
    model.train()
    optimizer = _optimizer(trial.recipe, model)
    return Tuning(trial, placement, normalize, model, optimizer, torch.tensor(_NEVER, device=placement.device))


def _optimizer(recipe: Transfer, model: nn.Module) -> torch.optim.Optimizer:
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    learnt = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learnt if id(p) not in norms], "weight_decay": recipe.optim.weight_decay},
        {"params": [p for p in learnt if id(p) in norms], "weight_decay": recipe.optim.norm_decay},
    ]
    full = [group for group in groups if group["params"]]
    return torch.optim.SGD(full, lr=recipe.rate(0), momentum=recipe.optim.momentum, foreach=True)


def canvas_of(pixels: Tensor, sizes: Sequence[tuple[int, int]], normalize: Normalize, placement: Placement) -> Canvas:
    """Images (N x C x H x W, uint8 or shares of white) on the device, normalised; 0 outside each image."""
    x = pixels.to(placement.device, non_blocking=True)
    x = x if x.is_floating_point() else x.float().div_(255)
    mean, std = (x.new_tensor(v).view(1, -1, 1, 1) for v in (normalize.mean, normalize.std))
    x = (x - mean) / std
    for image, (height, width) in zip(x, sizes, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return Canvas(x.contiguous(memory_format=placement.memory_format), tuple(sizes))


def losses_of(t: Tuning, group: Group) -> Losses:
    """The sums of losses of a group of images."""
    canvas = canvas_of(group.pixels, group.sizes, t.normalize, t.placement)
    match t.model:
        case RCNN() as model:
            with t.placement.autocast():
                return model.losses(canvas, [target.to(t.placement.device) for target in group.targets])
        case FullyConvolutional() as model:
            assert group.labels is not None
            with t.placement.autocast():
                return model.losses(canvas.pixels, group.labels.to(t.placement.device, non_blocking=True).long())


def tune_step(t: Tuning, batch: Step) -> dict[str, Tensor]:
    """One step: the mean loss over groups of images, of which each has BatchNorm's statistics of its own.

    The groups go one after the other, so that a batch needs the memory of one group; moves `t` on by one. The losses by
    name and their sum as `loss`, without gradient.
    """
    shared = shares_norms(t.recipe)
    share = len(batch.groups) * (1 if shared else distributed.count())
    t.optimizer.zero_grad(set_to_none=True)
    set_learning_rate_(t.optimizer, t.recipe.rate(t.step))
    running = _running(t.model)
    before = [b.clone() for b in running] if len(batch.groups) > 1 else []
    after = [torch.zeros_like(b) for b in before]
    told: dict[str, Tensor] = {}
    for group in batch.groups:
        if before:
            torch._foreach_copy_(running, before)
        losses = losses_of(t, group)
        counts = _counts(losses, shared)
        means = {name: total / max(counts[name], 1) / share for name, (total, _) in losses.items()}
        torch.stack(list(means.values())).sum().backward()  # type: ignore[no-untyped-call]
        for name, value in means.items():
            told[name] = told.get(name, 0) + value.detach()
        if before:
            torch._foreach_add_(after, running, alpha=1 / len(batch.groups))
    if before:
        torch._foreach_copy_(running, after)
    _sum_over_processes_(t, told, running, shared)
    t.optimizer.step()
    t.step += 1
    loss = torch.stack(list(told.values())).sum()
    t.first_bad = torch.where(torch.isfinite(loss), t.first_bad, t.first_bad.clamp_max(t.step))
    return {"loss": loss, **told}


def _sum_over_processes_(t: Tuning, told: dict[str, Tensor], running: list[Tensor], shared: bool) -> None:
    """Gradients and losses are parts of one sum; running statistics, where each has its own, are averaged."""
    if distributed.count() == 1:
        return
    gradients = [p.grad for group in t.optimizer.param_groups for p in group["params"] if p.grad is not None]
    distributed.average_([*gradients, *told.values()])
    torch._foreach_mul_([*gradients, *told.values()], distributed.count())
    if not shared:
        distributed.average_(running)


def _counts(losses: Losses, shared: bool) -> dict[str, int]:
    """Of how many each loss is the sum, over all processes that share the group."""
    own = torch.tensor([count for _, count in losses.values()])
    whole = distributed.gather(own[None]).sum(0) if shared else own
    return dict(zip(losses, whole.tolist(), strict=True))


def _running(model: nn.Module) -> list[Tensor]:
    return [b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
