"""The parts of a recipe: frozen data, in the papers' words, and nothing but the standard library.

Whatever changes what is learnt is a field here; whatever only changes how fast is in `moco.machine`.
A choice between parts is a union of types (`Queue | Batch | Bank`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from moco.errors import MocoError
from moco.recipe.pixels import Pixels, channels_of, check_pixels

Operation = Literal["jitter", "gray", "blur", "solarize"]

Stem = Literal["imagenet", "small", "half"]
"""How a ResNet begins: 7x7 of stride 2 and max-pooling; 3x3 of stride 1 (the official CIFAR-10 demo), or of 2."""


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Colour jitter: factors from [1 - x, 1 + x], a hue shift from [-hue, hue], the four in random order."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    """In turns of the colour wheel, at most 0.5."""
    p: float = 0.8
    """Probability that the image is jittered at all."""


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur with a standard deviation drawn uniformly, in pixels of the finished view."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Bands:
    """What is drawn for each band by itself: sensors drift, calibrations differ, bands are missing."""

    gain: float = 0.0
    """Factors from [1 - gain, 1 + gain]."""
    offset: float = 0.0
    """Added: from [-offset, offset] of the range from black to white."""
    drop: float = 0.0
    """Probability that a band is replaced by its mean; one band at least stays."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of each value, its strength drawn uniformly up to these shares; nothing is clipped."""

    gaussian: float = 0.0
    """Most standard deviation of what is added, as a share of the range from black to white."""
    speckle: float = 0.0
    """Most standard deviation of the factor about 1 that a value is multiplied by, as radar and ultrasound have it."""
    p: float = 0.0


@dataclass(frozen=True, kw_only=True)
class View:
    """How one view of an image is drawn: a crop, flips and turns, then four operations in `order`."""

    scale: tuple[float, float] = (0.2, 1.0)
    """Area of the crop, as a share of the image."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crop, drawn uniformly on a logarithmic scale."""
    flip: float = 0.5
    """Probability of a left-right flip."""
    flip_vertical: float = 0.0
    """Probability of an upside-down flip."""
    turn: float = 0.0
    """Probability of a turn by 90, 180 or 270 degrees."""
    jitter: Jitter = field(default_factory=Jitter)
    gray: float = 0.2
    """Probability of dropping all colour."""
    blur: Blur = field(default_factory=Blur)
    solarize: float = 0.0
    """Probability of inverting all values above one half."""
    order: tuple[Operation, ...] = ("jitter", "gray", "blur", "solarize")
    bands: Bands = field(default_factory=Bands)
    """After these four."""
    noise: Noise = field(default_factory=Noise)
    """Last of all."""


@dataclass(frozen=True, kw_only=True)
class Normalize:
    """Per-channel mean and standard deviation that pixel values in [0, 1] are normalised with."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """f_q and f_k: a backbone and a projection head, normalised in groups of images."""

    backbone: str = "resnet50"
    """A torchvision model, `timm:NAME`, or `resnetDwW`: depth D, first stage W channels wide (`resnet18w16`)."""
    stem: Stem = "imagenet"
    """`small`: a 3x3 first convolution of stride 1 and no max-pooling, for images below 64 px. `half`: the same with
    stride 2, a third of the cost."""
    dim: int = 128
    """C, the length of a query or key."""
    head_layers: int = 1
    """1: a linear head (v1); 2: an MLP as wide as the backbone's features, with ReLU (v2)."""
    head_norm: bool = False
    """BatchNorm behind each layer of the head (SimCLR)."""
    norm_group: int | None = 32
    """Images that share BatchNorm statistics, whatever the number of devices; None: the whole batch."""


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Keys from a momentum-updated encoder (v1, figure 2c): theta_k <- m theta_k + (1 - m) theta_q."""

    m: float = 0.999
    shuffle: bool = True
    """Shuffling BN (v1, section 3.3): keys are encoded in other BatchNorm groups than their queries."""


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Keys from the query encoder itself, with gradients through both (v1, figure 2a)."""

    shuffle: bool = True


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Keys are looked up in the dictionary, by image; nothing encodes them (v1, figure 2b)."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The K latest keys, first in, first out (v1, section 3.2)."""

    size: int = 65536
    store: Literal["fp32", "bf16", "int8"] = "fp32"
    """How keys are kept; int8 with a scale for each key. The papers' is fp32; the others change results slightly."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The other images of the same batch: their keys, or (NT-Xent) both their views."""

    contrast: Literal["keys", "both-views"] = "keys"


@dataclass(frozen=True, kw_only=True)
class Bank:
    """One representation per image of the data set, `size` drawn for each step (v1, section 3.2; InstDisc)."""

    size: int = 65536
    m: float = 0.5
    """Momentum of the representations: w <- normalise(m w + (1 - m) q)."""


@dataclass(frozen=True, kw_only=True)
class InfoNCE:
    """Equation 1."""

    temperature: float = 0.07
    symmetric: bool = False
    """Also contrast the second view, as query, with the first as key."""
    halves: Literal["sum", "mean"] = "sum"
    """How the two losses of `symmetric` are put together; the official demo adds them."""


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent on all parameters, biases and BatchNorm included, as in the papers."""

    lr: float = 0.03
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False


@dataclass(frozen=True, kw_only=True)
class LARS:
    """Layer-wise adaptive rates (arXiv:1708.03888), biases and BatchNorm without adaptation and decay."""

    lr: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 1e-6
    trust: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """lr/2 (1 + cos(pi e / epochs)), with e counted in whole epochs, or step by step."""

    per: Literal["epoch", "step"] = "epoch"
    first_epoch: int = 0
    """The e of the first epoch. The official CIFAR-10 demo counts from 1, so its last epoch has rate 0."""
    warmup_epochs: float = 0.0
    """Epochs of linear rise before the cosine starts."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """lr times `factor` at each of the epochs `at`."""

    at: tuple[int, ...] = (120, 160)
    factor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Decay:
    """lr times `factor` after each `every` steps (v1 on Instagram-1B, section 4: 64 million images)."""

    every: int = 62_500
    factor: float = 0.9


@dataclass(frozen=True, kw_only=True)
class KNN:
    """How `--watch` judges the encoder: a weighted vote of the k most similar images (InstDisc)."""

    k: int = 200
    temperature: float = 0.1
    features: Literal["head", "backbone"] = "head"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is learnt from a set of images. Same recipe, same data: same encoder."""

    name: str
    query_view: View
    key_view: View | None = None
    """None: drawn like the query view."""
    pixels: Pixels | None = None
    """What images are made of. None: photographs, RGB of 8 bits as a person sees them, whatever a file holds."""
    normalize: Normalize = field(default_factory=Normalize)
    encoder: Encoder
    keys: Momentum | EndToEnd | Stored
    dictionary: Queue | Batch | Bank
    loss: InfoNCE
    optim: SGD | LARS
    schedule: Cosine | Steps | Decay
    image_size: int = 224
    """Side of a view, in pixels."""
    epochs: int | None = 200
    """Length of the run in epochs; None where `steps` says it."""
    steps: int | None = None
    """Length of the run in steps, for data of which an epoch is too long to count in."""
    batch: int = 256
    """Images a step, over all processes."""
    seed: int = 0
    knn: KNN = field(default_factory=KNN)


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
            _check_view(name, view)
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


def _check_view(flag: str, view: View) -> None:
    low, high = view.scale
    if not 0 < low <= high <= 1:
        raise MocoError(f"{flag}.scale {low} {high}: shares of the image, 0 < low <= high <= 1")
    low, high = view.ratio
    if not 0 < low <= high:
        raise MocoError(f"{flag}.ratio {low} {high}: 0 < low <= high")
    if sorted(view.order) != ["blur", "gray", "jitter", "solarize"]:
        raise MocoError(f"{flag}.order {' '.join(view.order)}: each of jitter, gray, blur, solarize once")
    j = view.jitter
    for name, p in (
        ("flip", view.flip),
        ("flip-vertical", view.flip_vertical),
        ("turn", view.turn),
        ("gray", view.gray),
        ("solarize", view.solarize),
        ("jitter.p", j.p),
        ("blur.p", view.blur.p),
        ("jitter.brightness", j.brightness),
        ("jitter.contrast", j.contrast),
        ("jitter.saturation", j.saturation),
        ("bands.gain", view.bands.gain),
        ("bands.offset", view.bands.offset),
        ("bands.drop", view.bands.drop),
        ("noise.gaussian", view.noise.gaussian),
        ("noise.speckle", view.noise.speckle),
        ("noise.p", view.noise.p),
    ):
        if not 0 <= p <= 1:
            raise MocoError(f"{flag}.{name} {p}: must lie between 0 and 1")
    if not 0 <= j.hue <= 0.5:
        raise MocoError(f"{flag}.jitter.hue {j.hue}: must lie between 0 and 0.5")
    low, high = view.blur.sigma
    if not 0 < low <= high:
        raise MocoError(f"{flag}.blur.sigma {low} {high}: 0 < low <= high")
