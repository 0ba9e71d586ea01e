"""What of a recipe is refused before anything is made."""

from __future__ import annotations

import math

from moco.errors import MocoError
from moco.recipe.drawn import check_view
from moco.recipe.parts import LARS, Bank, Batch, Cosine, Decay, EndToEnd, Momentum, Queue, Recipe, Steps, Stored
from moco.recipe.pixels import channels_of, check_pixels


def check(r: Recipe) -> None:
    """Refuse what cannot be trained, with a MocoError that names the flag."""
    if (r.epochs is None) == (r.steps is None):
        both = "neither --epochs nor --steps" if r.steps is None else f"--epochs {r.epochs} and --steps {r.steps}"
        raise MocoError(f"{both}: the length of a run is given in epochs or in steps, in exactly one of them")
    for flag, value in (
        ("--image-size", r.image_size),
        ("--epochs", 1 if r.epochs is None else r.epochs),
        ("--steps", 1 if r.steps is None else r.steps),
        ("--schedule.every", r.schedule.every if isinstance(r.schedule, Decay) else 1),
        ("--encoder.dim", r.encoder.dim),
        ("--knn.k", r.knn.k),
        ("--encoder.head-layers", r.encoder.head_layers),
    ):
        if value < 1:
            raise MocoError(f"{flag} {value}: must be at least 1")
    if not 0 <= r.seed < 2**63:
        raise MocoError(f"--seed {r.seed}: must lie between 0 and 2^63 - 1 (9,223,372,036,854,775,807)")
    if r.batch < 2:
        raise MocoError(f"--batch {r.batch}: contrast needs at least two images a step")
    for flag, share in (
        ("--optim.weight-decay", r.optim.weight_decay),
        ("--optim.momentum", r.optim.momentum),
        ("--schedule.warmup-epochs", r.schedule.warmup_epochs if isinstance(r.schedule, Cosine) else 0.0),
        ("--schedule.factor", r.schedule.factor if isinstance(r.schedule, Steps | Decay) else 0.0),
        ("--optim.trust", r.optim.trust if isinstance(r.optim, LARS) else 0.0),
    ):
        if not (math.isfinite(share) and share >= 0):
            raise MocoError(f"{flag} {share}: must be 0 or more")
    for flag, positive in (
        ("--loss.temperature", r.loss.temperature),
        ("--knn.temperature", r.knn.temperature),
        ("--optim.lr", r.optim.lr),
    ):
        if not (math.isfinite(positive) and positive > 0):
            raise MocoError(f"{flag} {positive}: must be a positive number")
    for name, view in (("--query-view", r.query_view), ("--key-view", r.key_view)):
        if view is not None:
            check_view(name, view)
    if r.pixels is not None:
        check_pixels(r.pixels)
    for flag, numbers in (("--normalize.mean", r.normalize.mean), ("--normalize.std", r.normalize.std)):
        if len(numbers) != channels_of(r.pixels):
            raise MocoError(f"{flag}: {len(numbers)} values for {channels_of(r.pixels)} channels; give one for each")
    if any(s <= 0 for s in r.normalize.std):
        raise MocoError(f"--normalize.std {r.normalize.std}: must be positive")
    if isinstance(r.schedule, Cosine):
        _check_cosine(r.schedule)
    _check_groups(r)
    _check_pairing(r)


def _check_cosine(schedule: Cosine) -> None:
    if schedule.first_epoch not in (0, 1):
        raise MocoError(f"--schedule.first-epoch {schedule.first_epoch}: epochs are counted from 0 or from 1")
    if schedule.per == "epoch" and schedule.warmup_epochs % 1:
        raise MocoError(
            f"--schedule.warmup-epochs {schedule.warmup_epochs}: whole epochs, or --schedule.per step for parts of one"
        )


def _check_groups(r: Recipe) -> None:
    group = r.encoder.norm_group
    if group is None:
        return
    if group < 2:
        raise MocoError(f"--encoder.norm-group {group}: BatchNorm needs at least two images in a group")
    if r.batch % group:
        raise MocoError(
            f"a batch of {r.batch} images does not divide into BatchNorm groups of {group}; "
            f"set --batch to a multiple of {group}, or --encoder.norm-group to a divisor of {r.batch}"
        )


def refuse_parts(r: Recipe, parts: int, processes: int) -> None:
    """Raise MocoError where a batch cannot be asked for in so many parts without changing what is computed."""
    if parts == 1:
        return
    if not isinstance(r.keys, Momentum):
        raise MocoError(
            f"--machine.parts {parts}: keys of kind {type(r.keys).__name__} need the queries of the whole batch at once"
        )
    share = r.batch // processes
    if share % parts:
        raise MocoError(f"--machine.parts {parts} does not divide the {share} images that a process has of a batch")
    if (r.encoder.norm_group or r.batch) > share // parts:
        group = r.encoder.norm_group or f"the whole batch of {r.batch}"
        raise MocoError(
            f"--machine.parts {parts}: BatchNorm groups of {group} images are larger than a part of {share // parts}; "
            f"set --encoder.norm-group to a divisor of {share // parts}, or fewer parts"
        )
    if share // parts % (r.encoder.norm_group or 1):
        raise MocoError(
            f"--machine.parts {parts}: parts of {share // parts} images do not divide into BatchNorm groups of "
            f"{r.encoder.norm_group}"
        )


def _check_pairing(r: Recipe) -> None:
    match r.keys, r.dictionary:
        case Momentum(m=m), Queue() | Batch():
            if not 0 <= m <= 1:
                raise MocoError(f"--keys.m {m}: the momentum lies between 0 and 1")
        case EndToEnd(), Batch():
            pass
        case Stored(), Bank(m=m):
            if not 0 <= m < 1:
                raise MocoError(f"--dictionary.m {m}: the momentum of the bank lies in [0, 1)")
            if r.loss.symmetric:
                raise MocoError("--loss.symmetric: a memory bank has one view a step; there is no second half")
        case keys, dictionary:
            raise MocoError(
                f"keys of kind {type(keys).__name__} cannot fill a dictionary of kind {type(dictionary).__name__}; "
                "use Momentum with Queue or Batch, EndToEnd with Batch, Stored with Bank"
            )
    match r.dictionary:
        case Queue(size=size):
            keys_a_step = r.batch * (2 if r.loss.symmetric else 1)
            if size < keys_a_step:
                raise MocoError(
                    f"a step of {keys_a_step} keys exceeds the dictionary of {size}; "
                    "lower --batch or raise --dictionary.size"
                )
        case Bank(size=size):
            if size < 1:
                raise MocoError(f"--dictionary.size {size}: must be at least 1")
        case Batch(contrast="both-views"):
            if not r.loss.symmetric:
                raise MocoError("NT-Xent contrasts both views: set --loss.symmetric, or --dictionary.contrast keys")
