"""Recipes: what is learnt, as data. Standard library only, so that `moco --help` stays fast."""

from moco.recipe.check import check
from moco.recipe.drawn import Bands, Blur, Jitter, Noise, Normalize, View
from moco.recipe.named import RECIPES, cifar, end_to_end, fast, ig_1b, memory_bank, simclr, v1, v2
from moco.recipe.parts import (
    KNN,
    LARS,
    SGD,
    Bank,
    Batch,
    Cosine,
    Decay,
    Encoder,
    EndToEnd,
    InfoNCE,
    Momentum,
    Queue,
    Recipe,
    Steps,
    Stored,
)
from moco.recipe.pixels import Pixels, channels_of
from moco.recipe.plain import flatten, from_json, override, read_json, to_json
from moco.recipe.views import VIEWS, named_views

__all__ = [
    "KNN",
    "LARS",
    "RECIPES",
    "SGD",
    "VIEWS",
    "Bands",
    "Bank",
    "Batch",
    "Blur",
    "Cosine",
    "Decay",
    "Encoder",
    "EndToEnd",
    "InfoNCE",
    "Jitter",
    "Momentum",
    "Noise",
    "Normalize",
    "Pixels",
    "Queue",
    "Recipe",
    "Steps",
    "Stored",
    "View",
    "channels_of",
    "check",
    "cifar",
    "end_to_end",
    "fast",
    "flatten",
    "from_json",
    "ig_1b",
    "memory_bank",
    "named_views",
    "override",
    "read_json",
    "simclr",
    "to_json",
    "v1",
    "v2",
]
