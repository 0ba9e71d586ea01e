"""The parts of a recipe: frozen data, in the papers' words, and nothing but the standard library.

Whatever changes what is learnt is a field here, or in `drawn`; whatever only changes how fast is in `moco.machine`.
A choice between parts is a union of types (`Queue | Batch | Bank`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from moco.recipe.drawn import Normalize, View
from moco.recipe.groups import Grouped
from moco.recipe.pixels import Pixels
from moco.recipe.text import Text

Stem = Literal["imagenet", "small", "half"]
"""How a ResNet begins: 7x7 of stride 2 and max-pooling; 3x3 of stride 1 (the official CIFAR-10 demo), or of 2."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """f_q and f_k: a backbone and a projection head, normalised in groups of images."""

    backbone: str = "resnet50"
    """A torchvision model, `timm:NAME`, `resnetDwW`: depth D, first stage W channels wide (`resnet18w16`), or
    `vitDwWpP`: D blocks, W wide, patches of P px, for images of 224 px, or of S with `sS` (`vit6w192p4s32`)."""
    stem: Stem = "imagenet"
    """`small`: a 3x3 first convolution of stride 1 and no max-pooling, for images below 64 px. `half`: the same with
    stride 2, a third of the cost."""
    dim: int = 128
    """C, the length of a query or key."""
    head_layers: int = 1
    """1: a linear head (v1); 2: an MLP as wide as the backbone's features, with ReLU (v2); more: a deeper one (v3)."""
    head_width: int | None = None
    """Width between the layers of the head; None: as wide as the backbone's features."""
    head_norm: bool = False
    """BatchNorm behind each layer of the head (SimCLR)."""
    head_end: Literal["scaled", "plain"] = "scaled"
    """Whether the last BatchNorm of the head has a weight and a bias; v3's has none."""
    frozen_patches: bool = False
    """A ViT's projection of patches stays as it was drawn: what v3 found to make its training stable (section 4.2)."""
    norm_group: int | None = 32
    """Images that share BatchNorm statistics, whatever the number of devices; None: the whole batch."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """An MLP behind the query's head, and behind no key's (v3, section 3): Linear, BatchNorm, ReLU, ..., Linear."""

    layers: int = 2
    width: int = 4096
    """Between its layers."""
    norm_last: bool = False
    """BatchNorm without weight and bias behind the last layer: v3's ViTs have it, its ResNet has not."""


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Who asks for the key of an image beside its first view, or in its place; what is asked for is of whole views."""

    patches: int = 1
    """The view is cut into so many times so many patches, which the backbone sees alone; of each two of them the mean
    of their features asks (Fast-MoCo, arXiv:2207.08220, section 3: 2). 1: the whole view."""
    small: int = 0
    """So many small crops of the image ask as well (multi-crop: SwAV, arXiv:2006.09882, section 3.2)."""
    small_size: int = 96
    """Side of a small crop, in pixels (SwAV's, beside views of 224)."""
    small_scale: tuple[float, float] = (0.05, 0.14)
    """Share of the image's area that a small crop covers, from and to; all else is drawn as for the first view,
    and nothing of it is erased."""


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Keys from a momentum-updated encoder (v1, figure 2c): theta_k <- m theta_k + (1 - m) theta_q."""

    m: float = 0.999
    to_one: bool = False
    """m rises from there to 1 over the run, by half a cosine (v3)."""
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
    hardness: float = 0.0
    """Of negatives: each counts exp(hardness x cosine / temperature) times, 1 in the mean (arXiv:2010.04592)."""
    scaled: bool = False
    """Its gradient is multiplied by twice the temperature, so that rates hold for any (v3, Algorithm 1)."""


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
    rate: Literal["inside", "outside"] = "inside"
    """Where the rate stands: in the velocity, so that a changed rate acts on new gradients alone; or before it (v3)."""


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (arXiv:1711.05101) on all parameters, as v3 trains ViTs."""

    lr: float = 1.5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """lr/2 (1 + cos(pi e / epochs)), with e counted in whole epochs, or step by step."""

    per: Literal["epoch", "step"] = "epoch"
    first_epoch: int = 0
    """The e of the first epoch. The official CIFAR-10 demo counts from 1, so its last epoch has rate 0."""
    warmup_epochs: float = 0.0
    """Epochs of linear rise before the cosine starts."""
    cycles: int = 1
    """Cosines of equal length, one after another, each from the whole rate (arXiv:1608.03983)."""


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
    groups: Grouped | None = None
    """What is known of images beside their pixels. None: nothing, so the key view of an image is of itself."""
    text: Text | None = None
    """How captions are read, for a text tower beside that of images. None: there are no captions."""
    normalize: Normalize = field(default_factory=Normalize)
    encoder: Encoder
    predictor: Predictor | None = None
    queries: Queries = field(default_factory=Queries)
    keys: Momentum | EndToEnd | Stored
    dictionary: Queue | Batch | Bank
    loss: InfoNCE
    optim: SGD | LARS | AdamW
    schedule: Cosine | Steps | Decay
    image_size: int = 224
    """Side of a view, in pixels."""
    first_sizes: tuple[int, ...] = ()
    """Sides that views have before, each in an equal part of the run: 16 24 with an image_size of 32 is a third of the
    steps at each (arXiv:2212.05611, section 3)."""
    epochs: int | None = 200
    """Length of the run in epochs; None where `steps` says it."""
    steps: int | None = None
    """Length of the run in steps, for data of which an epoch is too long to count in."""
    batch: int = 256
    """Images a step, over all processes."""
    seed: int = 0
    knn: KNN = field(default_factory=KNN)

    def length(self, steps_per_epoch: int) -> int:
        """Steps of the whole run."""
        return (self.epochs or 0) * steps_per_epoch if self.steps is None else self.steps

    @property
    def positives(self) -> int:
        """P, keys that each query is contrasted with as its own."""
        return 1 if self.groups is None else self.groups.positives

    @property
    def keys_a_step(self) -> int:
        """Keys that a step makes, over all processes."""
        return self.batch * self.positives * (2 if self.loss.symmetric else 1)
