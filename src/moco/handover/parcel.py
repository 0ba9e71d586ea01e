"""What is handed over, and what became of it: the two values between which every format is a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco.encoder import Encoder
from moco.errors import MocoError
from moco.handover.architecture import Architecture, Buildable, Unnamed, architecture
from moco.run.load import Opened


@dataclass(frozen=True)
class Parcel:
    """An encoder as it shall arrive elsewhere."""

    opened: Opened
    architecture: Architecture
    head: nn.Sequential | None = None
    """The projection head, where it is to be kept."""
    pixels: bool = False
    """Whether uint8 pixels go in instead of normalised images."""

    @property
    def buildable(self) -> Buildable:
        """The architecture, where `obstacle` has found that it can be built by name."""
        assert not isinstance(self.architecture, Unnamed)
        return self.architecture

    @property
    def size(self) -> int:
        """S, the side of its images in pixels."""
        return self.opened.preprocess.size

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, of values in [0, 1]."""
        return self.opened.preprocess.normalize.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel, of values in [0, 1]."""
        return self.opened.preprocess.normalize.std

    def told(self) -> dict[str, object]:
        """What names and shapes of its tensors do not tell, for JSON."""
        return {
            "architecture": asdict(self.architecture),
            "image_size": self.size,
            "short_side": self.opened.preprocess.short_side,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def tensors(self, prefix: str = "", head: str | None = None, every_buffer: bool = False) -> dict[str, Tensor]:
        """Those of the backbone below `prefix`, contiguous, and below `head` those of the head, if it is kept.

        A head of one layer is named as that layer (`fc.weight`, as MoCo v1's), one of several by their numbers. With
        `every_buffer` also those that a network computes when it is made, and no state dict has.
        """
        held = self.opened.backbone.state_dict()
        held |= dict(self.opened.backbone.named_buffers()) if every_buffer else {}
        found = {f"{prefix}{name}": t.detach().contiguous() for name, t in held.items()}
        if self.head is not None and head is not None:
            kept: nn.Module = self.head[0] if len(self.head) == 1 else self.head
            found |= {f"{head}.{name}": t.detach().contiguous() for name, t in kept.state_dict().items()}
        return found

    def normalised(self, pixels: Tensor) -> Tensor:
        """float32 of uint8 N x 3 x S x S, as the encoder takes them."""
        return self.opened.preprocess.normalise(pixels)

    @torch.no_grad()
    def outputs(self, pixels: Tensor) -> list[Tensor]:
        """Features (N x D) of uint8 images N x 3 x S x S, then unit vectors (N x C) where the head is kept."""
        features: Tensor = self.opened.backbone(self.normalised(pixels))
        return [features] if self.head is None else [features, F.normalize(self.head(features), dim=1)]


@dataclass(frozen=True)
class Exported:
    """What a format has written into its folder, and how it is opened again."""

    file: str
    """The name of the file that matters; "." where the folder as a whole does."""
    opened_by: str
    """What opens it again here: a library with its version, or a reading of the format."""
    again: Callable[[Tensor], list[Tensor]]
    """What `Parcel.outputs` gives, by the opened file, normalised in the target's own way where it has one."""
    usage: str
    """How to use it there, in a few lines."""
    prepared: Callable[[PIL.Image.Image], Tensor] | None = None
    """An image as the target prepares it (3 x S x S), where it does so."""
    other_size: int | None = None
    """Another side of images that it takes."""
    notes: tuple[str, ...] = ()
    """What must be known beyond that."""


def parcel_of(opened: Opened, *, head: bool = False, pixels: bool = False) -> Parcel:
    """The parcel of an encoder; raises MocoError where a head is asked for and missing, or weights are not finite."""
    whole = opened.whole if head and opened.whole is not None else opened.backbone
    broken = [name for name, t in whole.state_dict().items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise MocoError(
            f"{len(broken)} tensors of this encoder are not finite ({broken[0]}), so it is not exported; "
            "take an earlier checkpoint, or train again"
        )
    kept = None
    if head:
        if not (isinstance(opened.whole, Encoder) and isinstance(opened.whole.head, nn.Sequential)):
            raise MocoError(f"--head: this encoder ({opened.about}) has no projection head; leave it out")
        kept = opened.whole.head
    return Parcel(opened, architecture(opened), kept, pixels)
