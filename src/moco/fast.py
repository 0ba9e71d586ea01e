"""Forms of a step that are compiled for a device: each is tried when a run starts, beside its plain twin.

One is taken only where its values and gradients are those of the twin, up to rounding, and it is faster here. So a
compiler that is missing, fails, errs, or does not pay costs a line of text and no run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco import distributed
from moco.device import seeded, wait_for
from moco.dictionary import halves_of
from moco.errors import MocoError
from moco.model import Encode, encode
from moco.ops.batch_norm import GroupBatchNorm
from moco.ops.info_nce import chunked, info_nce, streams
from moco.ops.kernels import has_norm_kernels
from moco.ops.sync_batch_norm import SyncGroupBatchNorm
from moco.training import Training

WORTH = 1.03
"""A form must be so many times as fast as its plain twin to be taken: less is within what such a measurement errs."""

TOLERANCE = 0.02
"""Error, as a share of a tensor's norm, that a form may have beyond twice the plain one's: wrong code has one of 1."""


@dataclass(frozen=True)
class Form:
    """A fast form of a part of the step."""

    name: str
    """Its name in machine.json."""
    says: str
    use: Callable[[], None]
    leave: Callable[[], None]
    sample: Callable[[], list[Tensor]]
    """Values and gradients of this part as it is set now, on a sample of the run's own shapes."""
    exact: Callable[[], list[Tensor]] | None = None
    """The same without half precision, where the plain form has it: what rounding alone does is measured by it."""
    tolerance: float = TOLERANCE
    warm_up: float = 0.0
    """About how many seconds it takes to get ready; said before, and a short run does without."""
    timed: bool = True
    """Whether it must be faster here, measured, to be taken; if not, it is known to be, and taken where it is right."""


@dataclass(frozen=True)
class Tried:
    """What a form was found to be."""

    used: bool
    says: str


def choose_fast(
    t: Training,
    asked: Literal["auto", "on", "off"],
    kept: Collection[str] | None,
    steps: int,
    note: Callable[[str], None],
) -> tuple[list[str], str]:
    """Set the training to the fast forms that pay in so many steps; their names, and one line on what was chosen.

    `kept` names those that a run which goes on has used: these, if they are still right, and no others. Training is
    as before but for them. Raises MocoError where a form has left the GPU unusable.
    """
    device = t.placement.device
    used: list[str] = []
    lines: list[str] = []
    for make in (_encoders, _norms, _loss):
        form = make(t, asked) if not (make is _norms and "encoders" in used) else None  # compiled, they are so already
        if form is None or (kept is not None and form.name not in kept):
            continue
        insist = asked == "on" or kept is not None
        if form.warm_up and not insist and not distributed.on_main(lambda form=form: pays(form, device, steps)):  # type: ignore[misc]
            lines.append(f"{form.says} are left out: getting ready takes about as long as they would save in this run")
            continue
        if form.warm_up:
            note(f"compiling ({form.says}), once a run: this takes about {form.warm_up:.0f} s")
        found = attempt(form, device, insist)
        lines.append(found.says)
        used += [form.name] if found.used else []
    if lines and device.type == "cuda":  # what was tried in full precision is no measure of the run
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    return used, "; ".join(lines)


def attempt(form: Form, device: torch.device, insist: bool) -> Tried:
    """Try a form and leave it set if it is right and, unless `insist`, faster; on all processes alike."""
    plain = form.sample()
    exact, tolerance = _exact(form, plain)
    start = time.perf_counter()
    reason, right = None, False
    try:
        form.use()
        fast = form.sample()
        wait_for(device)
        right = agree(fast, plain, exact, tolerance)
    except Exception as error:  # whatever a compiler may raise
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]:.160}"
    took = time.perf_counter() - start
    _refuse_a_broken_device(device, form)
    failed, wrong = distributed.largest([int(reason is not None), int(reason is None and not right)])
    if failed or wrong:
        form.leave()
        why = f"does not run here ({reason or 'on another process'})" if failed else "gives other values here"
        return Tried(False, f"{form.says} {why}: left out")
    if insist or not form.timed:
        return Tried(True, f"{form.says}, ready after {took:.0f} s")
    ratio = distributed.on_main(lambda: speed(form, device))
    if ratio < WORTH:
        form.leave()
        return Tried(False, f"{form.says} is no faster here ({ratio:.2f} times the plain speed): left out")
    return Tried(
        True, f"{form.says}: {ratio:.2f} times the speed of the plain form, measured, ready after {took:.0f} s"
    )


def pays(form: Form, device: torch.device, steps: int) -> bool:
    """Whether so many steps of the plain form take a few times as long as the fast one takes to get ready."""
    form.sample()
    wait_for(device)
    start = time.perf_counter()
    form.sample()
    wait_for(device)
    return (time.perf_counter() - start) * steps > 3 * form.warm_up


def speed(form: Form, device: torch.device, turns: int = 3) -> float:
    """How many times as fast the form is as its plain twin: in turns, the best of each; leaves the form in use."""
    best = {False: float("inf"), True: float("inf")}
    for turn in range(turns + 1):
        for fast in (False, True):
            (form.use if fast else form.leave)()
            wait_for(device)
            start = time.perf_counter()
            form.sample()
            wait_for(device)
            if turn:
                best[fast] = min(best[fast], time.perf_counter() - start)
    return best[False] / best[True]


def agree(
    fast: Sequence[Tensor], plain: Sequence[Tensor], exact: Sequence[Tensor], tolerance: float = TOLERANCE
) -> bool:
    """Whether the fast tensors are as near to the exact ones as twice the plain ones are, and `tolerance`.

    Distances are shares of a tensor's norm, or of a hundredth of all of them where it is smaller: a gradient that is
    nothing but rounding, such as that of a bias before BatchNorm, decides nothing.
    """
    if [v.shape for v in fast] != [v.shape for v in plain]:
        return False
    norms = torch.stack([v.float().norm() for v in exact])
    least = norms.square().mean().sqrt() / 100

    def distances(found: Sequence[Tensor]) -> Tensor:
        apart = torch.stack([(f.float() - e.float()).norm() for f, e in zip(found, exact, strict=True)])
        return apart / torch.maximum(norms, least).clamp_min(1e-12)

    return bool((distances(fast) <= 2 * distances(plain) + tolerance).all())


def _exact(form: Form, plain: list[Tensor]) -> tuple[list[Tensor], float]:
    """What to measure by, and how strictly: full precision takes more memory, which may be too much."""
    if form.exact is None:
        return plain, form.tolerance
    try:
        return form.exact(), form.tolerance
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return plain, 10 * form.tolerance


def _refuse_a_broken_device(device: torch.device, form: Form) -> None:
    """Raise MocoError where what was tried has left the GPU in an error that only a new process ends."""
    try:
        wait_for(device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise MocoError(f"{form.says} failed on {device} ({reason:.160}); add --machine.compile off") from None


def _encoders(t: Training, asked: str) -> Form | None:
    """Both encoders through torch.compile; not where BatchNorm groups span processes, which exchange in the midst."""
    if asked == "off" or (asked == "auto" and t.placement.device.type != "cuda"):
        return None
    if t.model.by_features or any(isinstance(m, SyncGroupBatchNorm) for m in t.model.modules()):
        return None
    compiled: list[Encode] = []

    def use() -> None:
        if not compiled:
            torch.compiler.reset()  # an earlier training of this process counts against the number that is kept
            compiled.append(compiled_encode())
        t.model.encode = compiled[0]

    return Form(
        name="encoders",
        says="compiled encoders",
        use=use,
        leave=lambda: setattr(t.model, "encode", encode),
        sample=lambda: _encoded(t, t.placement.autocast()),
        exact=(lambda: _encoded(t, nullcontext())) if t.placement.bf16 else None,
        warm_up=60.0,
    )


def compiled_encode() -> Encode:
    """`encode` through torch.compile, for batches of one shape; dropout draws the numbers that it draws elsewhere."""
    return torch.compile(encode, dynamic=False, options={"fallback_random": True})


def _encoded(t: Training, precision: AbstractContextManager[object]) -> list[Tensor]:
    """Queries, keys, gradients and running statistics of one pass over noise; leaves no trace in the model."""
    model, device, size = t.model, t.placement.device, t.recipe.image_size
    before = [b.clone() for b in model.buffers()]
    try:
        with seeded(0, device), precision:
            noise = torch.randn(_at_once(t), t.views.channels, size, size, device=device)
            x = noise.contiguous(memory_format=t.placement.memory_format)
            towards = torch.randn(len(x), t.recipe.encoder.dim, device=device)
            q = model.encode(model.query_encoder, x, model.hidden.kept(0, 0, slice(0, len(x)), x), model.predictor)
            values = [q.detach()]
            if model.key_encoder is not None:
                with torch.no_grad():
                    values.append(model.encode(model.key_encoder, x))
        (q * towards).sum().backward()  # type: ignore[no-untyped-call]
        values += [p.grad for p in model.parameters() if p.grad is not None]
        return values + [b.clone() for b in model.buffers() if b.is_floating_point()]
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)


def _at_once(t: Training) -> int:
    """Images that an encoder of this process gets at a time."""
    return t.recipe.batch // distributed.count() // t.parts


def _norms(t: Training, asked: str) -> Form | None:
    """BatchNorm of all groups at once on a GPU, where the encoders are not compiled; in kernels of its own on a CPU."""
    norms = [m for m in t.model.modules() if type(m) is GroupBatchNorm]
    device = t.placement.device.type
    in_kernels = device == "cpu" and t.placement.channels_last and has_norm_kernels()
    if asked == "off" or not norms or not (device == "cuda" or in_kernels):
        return None
    probe = GroupBatchNorm(nn.BatchNorm2d(40), norms[0].group) if in_kernels else None

    def form(name: Literal["groups", "at once", "kernels"]) -> Callable[[], None]:
        def set_all() -> None:
            for norm in [*norms, *([probe] if probe else [])]:
                norm.form = name

        return set_all

    def sample(precision: AbstractContextManager[object]) -> list[Tensor]:
        return _normed(probe, t, precision) if probe else _encoded(t, precision)

    return Form(
        name="norms",
        says="compiled BatchNorm over groups" if probe else "BatchNorm of all groups at once",
        use=form("kernels" if probe else "at once"),
        leave=form("groups"),
        sample=lambda: sample(t.placement.autocast()),
        exact=(lambda: sample(nullcontext())) if t.placement.bf16 else None,
        timed=probe is None,
    )


def _normed(norm: GroupBatchNorm, t: Training, precision: AbstractContextManager[object]) -> list[Tensor]:
    """Noise normalised, gradients and running statistics, as in a step; of one BatchNorm alone, to take no time."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1)
    with seeded(0, t.placement.device), precision:
        noise = torch.randn(2 * norm.group, norm.weight.numel(), 5, 5)
        x = noise.to(torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32)
        x = x.contiguous(memory_format=t.placement.memory_format).requires_grad_()
        towards = torch.randn(x.shape).to(x.dtype)
        out = norm(x)
    values = torch.autograd.grad(out, [x, norm.weight, norm.bias], towards)
    return [out.detach(), *values, norm.running_mean.clone(), norm.running_var.clone()]


def _loss(t: Training, asked: str) -> Form | None:
    """The sums over the dictionary in one Triton kernel; for a dictionary that is streamed."""
    if asked == "off" or t.placement.device.type != "cuda":
        return None
    try:
        from moco.ops.info_nce_triton import fused
    except ImportError:  # Triton comes with torch for Linux
        return None
    images = _at_once(t)
    with seeded(0, t.placement.device):
        q, k = F.normalize(torch.randn(2, images, t.recipe.encoder.dim, device=t.placement.device), dim=-1)
    index = torch.zeros(images, dtype=torch.int64, device=t.placement.device)
    dictionary = halves_of(t.dictionary)[0]
    contrast = dictionary.look_up(q, k, index, 0)
    if not streams(contrast) or contrast.alike is not None:  # the kernel leaves no pair out
        return None

    def sample() -> list[Tensor]:
        leaf = q.clone().requires_grad_()
        contrast = dictionary.look_up(leaf, k, index, 0)
        found = info_nce(leaf, contrast, t.recipe.loss.temperature, t.summed, t.recipe.loss.hardness)
        found.loss.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return [found.loss.detach(), found.accuracy, found.negative, leaf.grad]

    return Form(
        name="loss",
        says="the loss in one kernel",
        use=lambda: setattr(t, "summed", fused),
        leave=lambda: setattr(t, "summed", chunked),
        sample=sample,
        tolerance=1e-3,
    )
