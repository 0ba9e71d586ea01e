"""What of a recipe is refused before anything is made."""

from __future__ import annotations

import math
from dataclasses import replace

from moco.arguments import refuse_other_types
from moco.errors import MocoError
from moco.recipe.drawn import check_view
from moco.recipe.groups import check_grouped
from moco.recipe.parts import (
    LARS,
    AdamW,
    Bank,
    Batch,
    Cosine,
    Decay,
    EndToEnd,
    Momentum,
    Queue,
    Recipe,
    Steps,
    Stored,
)
from moco.recipe.pixels import channels_of, check_pixels
from moco.recipe.text import check_text
from moco.recipe.vit import vit_name

MOST_PATCHES = 4
"""Across a view, which are 16 of them, and 120 pairs."""


def check(r: Recipe) -> None:
    """Refuse what cannot be trained, with a MocoError that names the flag."""
    refuse_other_types(r, "--")
    if (r.epochs is None) == (r.steps is None):
        both = "neither --epochs nor --steps" if r.steps is None else f"--epochs {r.epochs} and --steps {r.steps}"
        raise MocoError(f"{both}: the length of a run is given in epochs or in steps, in exactly one of them")
    for flag, value in (
        ("--image-size", r.image_size),
        ("--epochs", 1 if r.epochs is None else r.epochs),
        ("--steps", 1 if r.steps is None else r.steps),
        ("--schedule.cycles", r.schedule.cycles if isinstance(r.schedule, Cosine) else 1),
        ("--schedule.every", r.schedule.every if isinstance(r.schedule, Decay) else 1),
        ("--encoder.dim", r.encoder.dim),
        ("--knn.k", r.knn.k),
        ("--encoder.head-layers", r.encoder.head_layers),
        ("--encoder.head-width", 1 if r.encoder.head_width is None else r.encoder.head_width),
        ("--predictor.layers", 1 if r.predictor is None else r.predictor.layers),
        ("--predictor.width", 1 if r.predictor is None else r.predictor.width),
    ):
        if value < 1:
            raise MocoError(f"{flag} {value}: must be at least 1")
    if not 0 <= r.seed < 2**63:
        raise MocoError(f"--seed {r.seed}: must lie between 0 and 2^63 - 1 (9,223,372,036,854,775,807)")
    if r.batch < 2:
        raise MocoError(f"--batch {r.batch}: contrast needs at least two images a step")
    for flag, share in (
        ("--optim.weight-decay", r.optim.weight_decay),
        ("--loss.hardness", r.loss.hardness),
        ("--optim.momentum", 0.0 if isinstance(r.optim, AdamW) else r.optim.momentum),
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
    if isinstance(r.optim, AdamW) and not all(0 <= beta < 1 for beta in r.optim.betas):
        raise MocoError(f"--optim.betas {r.optim.betas[0]} {r.optim.betas[1]}: both lie in [0, 1)")
    _check_queries(r)
    _check_groups(r)
    _check_pairing(r)
    _check_patches(r)
    if r.groups is not None:
        check_grouped(r.groups)
        _check_known(r)
    if r.text is not None:
        check_text(r.text)
        _check_captions(r)


def _check_cosine(schedule: Cosine) -> None:
    if schedule.first_epoch not in (0, 1):
        raise MocoError(f"--schedule.first-epoch {schedule.first_epoch}: epochs are counted from 0 or from 1")
    if schedule.per == "epoch" and schedule.warmup_epochs % 1:
        raise MocoError(
            f"--schedule.warmup-epochs {schedule.warmup_epochs}: whole epochs, or --schedule.per step for parts of one"
        )


def sides_of(r: Recipe) -> dict[int, str]:
    """Sides of all that the backbone sees in training, in pixels, and the flag that each is from."""
    asks = r.queries
    small = {asks.small_size: "--queries.small-size"} if asks.small else {}
    parts = {side // asks.patches: "--queries.patches, so" for side in (*r.first_sizes, r.image_size)}
    return small | parts | dict.fromkeys(r.first_sizes, "--first-sizes") | {r.image_size: "--image-size"}


def _check_queries(r: Recipe) -> None:
    """Who asks besides the first view, and how large views are before."""
    asks, sides = r.queries, (*r.first_sizes, r.image_size)
    if any(side < 1 or side > r.image_size for side in r.first_sizes):
        named = " ".join(map(str, r.first_sizes))
        raise MocoError(f"--first-sizes {named}: each must lie between 1 and --image-size {r.image_size}")
    if not 1 <= asks.patches <= MOST_PATCHES:
        raise MocoError(f"--queries.patches {asks.patches}: 1 to {MOST_PATCHES} across; each two of them ask")
    if asks.small < 0:
        raise MocoError(f"--queries.small {asks.small}: must be 0 or more")
    if any(side % asks.patches for side in sides):
        odd = next(side for side in sides if side % asks.patches)
        raise MocoError(f"--queries.patches {asks.patches} does not divide a view of {odd} px")
    if asks.small and not 1 <= asks.small_size <= min(sides):
        raise MocoError(f"--queries.small-size {asks.small_size}: no larger than the smallest view, of {min(sides)} px")
    low, high = asks.small_scale
    if not 0 < low <= high <= 1:
        raise MocoError(f"--queries.small-scale {low} {high}: shares of the image, 0 < low <= high <= 1")
    if vit_name(r.encoder.backbone) is not None and set(sides_of(r)) != {r.image_size}:
        raise MocoError(
            f"--first-sizes, --queries.patches, --queries.small: {r.encoder.backbone} takes images of one size alone; "
            f"leave them out, or give small crops its size (--queries.small-size {r.image_size})"
        )
    if asks.small == 0 and asks.patches == 1:
        return
    if not isinstance(r.keys, Momentum) or (isinstance(r.dictionary, Batch) and r.dictionary.contrast == "both-views"):
        raise MocoError(
            "--queries.small and --queries.patches: what asks here is a key at once; they need the keys of a momentum "
            "encoder, and a queue or the keys of the batch"
        )
    if asks.small and r.groups is not None:
        raise MocoError("--queries.small: with --pairs a query is one view of one image; leave one of them out")


def _check_patches(r: Recipe) -> None:
    """What only a ViT can do, and what images it takes."""
    vit = vit_name(r.encoder.backbone)
    if vit is not None and vit.side != r.image_size:
        better = replace(vit, side=r.image_size) if r.image_size % vit.patch == 0 else None
        todo = (
            f"take {better}" if better else f"its patches of {vit.patch} px do not divide {r.image_size}; take others"
        )
        raise MocoError(f"--image-size {r.image_size}: {r.encoder.backbone} is for images of {vit.side} px; {todo}")
    if vit is None and r.query_view.keep < 1:
        raise MocoError(
            f"--query-view.keep {r.query_view.keep}: {r.encoder.backbone} has no patches to drop; take a ViT such as "
            "vit6w192p4s32, or --query-view.erase"
        )
    if r.query_view.keep < 1 and vit is not None and round(r.query_view.keep * vit.grid**2) < 1:
        raise MocoError(f"--query-view.keep {r.query_view.keep}: no patch is left of the {vit.grid**2} of an image")
    if isinstance(r.keys, EndToEnd) and (r.query_view.keep < 1 or r.query_view.erase > 0):
        raise MocoError(
            "--query-view.keep and --query-view.erase: end to end, a vector is query and key at once; "
            "use the keys of a momentum encoder"
        )
    if r.key_view is not None and (r.key_view.keep != 1 or r.key_view.erase != 0):
        raise MocoError(
            "--key-view.keep and --key-view.erase: keys are of whole views; --query-view.keep and --query-view.erase "
            "hold for whichever view asks"
        )
    if r.encoder.frozen_patches and vit is None and not r.encoder.backbone.startswith(("timm:vit", "timm:deit")):
        raise MocoError(f"--encoder.frozen-patches: {r.encoder.backbone} has no projection of patches; it is for ViTs")


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
    if (r.queries.small or r.queries.patches > 1) and not groups_fit(r, parts, processes):
        raise MocoError(
            f"--machine.parts {parts}: where more ask than the view, a part is to be of whole BatchNorm groups; set "
            f"--encoder.norm-group to a divisor of {share // parts}, or take fewer parts"
        )


def groups_fit(r: Recipe, parts: int, processes: int) -> bool:
    """Whether each part of a batch is of whole BatchNorm groups, so that it can go through encoder and heads alone."""
    group = r.encoder.norm_group
    return group is not None and r.batch // processes // parts % group == 0


def refuse_groups_beyond_parts(r: Recipe, parts: int, processes: int) -> None:
    """Raise MocoError: a backbone with BatchNorm cannot be asked part by part where groups are larger than parts."""
    part = r.batch // processes // parts
    group = r.encoder.norm_group or f"the whole batch of {r.batch}"
    raise MocoError(
        f"--machine.parts {parts}: BatchNorm groups of {group} images do not divide a part of {part}; set "
        f"--encoder.norm-group to a divisor of {part} (and --keys.shuffle), take fewer parts, or a ViT"
    )


def _check_known(r: Recipe) -> None:
    """Refuse what cannot use what is known of images."""
    if isinstance(r.keys, Stored):
        raise MocoError(
            "--pairs: a memory bank finds keys by their own image and never by another; use a recipe with a queue"
        )
    if r.positives > 1 and r.loss.symmetric:
        raise MocoError(
            f"--positives {r.positives}: the loss of this recipe is symmetric, and of several keys none is the "
            "one that asks back; leave --positives out, or use --no-loss.symmetric"
        )


def _check_captions(r: Recipe) -> None:
    """Refuse what has no meaning for images with captions."""
    if not (isinstance(r.keys, Momentum) and isinstance(r.dictionary, Queue)):
        raise MocoError("image-text needs keys of a momentum encoder and a queue for each of images and texts")
    if r.loss.symmetric:
        raise MocoError("--loss.symmetric: image-text asks both ways as it is; leave the flag out")
    if r.groups is not None:
        raise MocoError(
            "--pairs: captions say which images show the same; a group beside them is not known to be right"
        )


def _check_pairing(r: Recipe) -> None:
    match r.keys, r.dictionary:
        case Momentum(m=m), Queue() | Batch():
            if not 0 <= m <= 1:
                raise MocoError(f"--keys.m {m}: the momentum lies between 0 and 1")
        case EndToEnd() | Stored(), _ if r.predictor is not None:
            raise MocoError("--predictor: it stands before queries alone, so keys must be those of a momentum encoder")
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
            if size < r.keys_a_step:
                raise MocoError(
                    f"a step of {r.keys_a_step} keys exceeds the dictionary of {size}; "
                    "lower --batch or raise --dictionary.size"
                )
        case Bank(size=size):
            if size < 1:
                raise MocoError(f"--dictionary.size {size}: must be at least 1")
        case Batch(contrast="both-views"):
            if not r.loss.symmetric:
                raise MocoError("NT-Xent contrasts both views: set --loss.symmetric, or --dictionary.contrast keys")
