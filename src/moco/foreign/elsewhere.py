"""Networks that people hold files of and that are not made here, each told by a name that no other has."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS = (
    (r"attnpool\.", "CLIP's ResNet, which pools by attention"),
    (r"transformer\.resblocks\.\d+\.attn\.in_proj_weight$", "CLIP's vision transformer"),
    (r"rope_embed\.periods$", "DINOv3's vision transformer, which turns its queries and keys by their places"),
    (r"embeddings\.patch_embedding\.weight$", "Hugging Face's CLIP or SigLIP"),
    (r"embeddings\.distillation_token$", "Hugging Face's distilled DeiT"),
    (r"encoder\.layer\.\d+\.lambda_1$", "Hugging Face's BEiT"),
    (r"attention\.self\.relative_position_bias_table$", "Hugging Face's Swin transformer"),
    (r"layers\.0\.downsample\.reduction\.weight$", "a Swin transformer by its authors' names, which timm's are not"),
    (r"Transformer/encoderblock_0/", "a vision transformer of JAX, which timm converts"),
)


def made_elsewhere(names: Iterable[str]) -> str | None:
    """What a file with these names holds, where it is known that nothing here makes it; else None."""
    joined = "\n".join(names)
    return next((what for mark, what in _MARKS if re.search(mark, joined, re.MULTILINE)), None)
