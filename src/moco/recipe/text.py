"""The text half of a recipe for images with captions."""

from __future__ import annotations

from dataclasses import dataclass

from moco.errors import MocoError

MOST_SCALE = 100.0
"""1 / temperature is never larger (CLIP, arXiv:2103.00020, section 2.5)."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """How captions become words, by a byte-level BPE made on them, and words become vectors, by a Transformer."""

    tower: str | None = None
    """A text model of transformers with its own tokenizer: a folder, or a name on its hub. None: one made here, of the
    numbers below."""
    vocabulary: int = 4096
    """Words of the tokenizer at most, bytes or letters among them."""
    length: int = 32
    """Words of a caption; what is longer is cut."""
    width: int = 128
    layers: int = 2
    heads: int = 4
    held_out: float = 0.05
    """Share of the pairs that are not learnt from; how often an image finds its caption among them is measured."""


def check_text(text: Text) -> None:
    """Raise MocoError, with the flag, for what cannot be."""
    for flag, value, least in (
        ("vocabulary", text.vocabulary, 300),
        ("length", text.length, 3),
        ("width", text.width, 1),
        ("layers", text.layers, 1),
        ("heads", text.heads, 1),
    ):
        if value < least:
            raise MocoError(f"--text.{flag} {value}: must be at least {least}")
    if text.width % text.heads:
        raise MocoError(f"--text.heads {text.heads} does not divide --text.width {text.width}")
    usual = Text()
    for flag in ("vocabulary", "width", "layers", "heads") if text.tower is not None else ():
        if getattr(text, flag) != getattr(usual, flag):
            raise MocoError(f"--text.{flag} {getattr(text, flag)}: --text.tower {text.tower} has its own; leave it out")
    if not 0 < text.held_out <= 0.5:
        raise MocoError(f"--text.held-out {text.held_out}: a share above 0 and up to 0.5")
