"""Vision transformers by name: `vitDwWpP`, with `sS` for the side of images and `hH` for heads, as `vit6w192p4s32`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moco.errors import MocoError

_NAME = r"vit([1-9]\d*)w([1-9]\d*)p([1-9]\d*)(?:s([1-9]\d*))?(?:h([1-9]\d*))?"

SIDE = 224
"""Of the images that a ViT is made for where its name does not say it."""


@dataclass(frozen=True)
class VitName:
    """The numbers of a ViT."""

    depth: int
    """Blocks."""
    width: int
    """D, the length of a token."""
    patch: int
    """Pixels of a side of a patch."""
    side: int = SIDE
    """Pixels of a side of an image."""
    heads: int = 1

    @property
    def grid(self) -> int:
        """Patches to a side of an image."""
        return self.side // self.patch

    def __str__(self) -> str:
        side = "" if self.side == SIDE else f"s{self.side}"
        heads = "" if self.heads == usual_heads(self.width) else f"h{self.heads}"
        return f"vit{self.depth}w{self.width}p{self.patch}{side}{heads}"


def usual_heads(width: int) -> int:
    """Heads of a ViT of this width: 64 wide, but for the 16 of ViT-H, -g and -G (arXiv:2106.04560); one at least."""
    return 16 if width in (1280, 1408, 1664) else max(1, width // 64)


def vit_name(name: str) -> VitName | None:
    """The numbers in the name of a ViT; None for other names.

    Raises MocoError where patches do not divide images, or heads or sines the width.
    """
    match = re.fullmatch(_NAME, name)
    if match is None:
        return None
    depth, width, patch = (int(n) for n in match.groups()[:3])
    side, heads = int(match[4] or SIDE), int(match[5] or usual_heads(width))
    flag = f"--encoder.backbone {name}"
    if side % patch or patch > side:
        fits = ", ".join(str(p) for p in range(2, side // 2 + 1) if side % p == 0)
        raise MocoError(f"{flag}: patches of {patch} px do not divide images of {side} px; take one of {fits}")
    if width % 4 or width % heads:
        raise MocoError(f"{flag}: a width of {width} does not divide by 4 (positions) and by {heads} heads")
    return VitName(depth, width, patch, side, heads)
