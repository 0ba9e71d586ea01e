"""What is known of images beside their pixels: those of a group show the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from moco.errors import MocoError


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """Positives from what is known: keys are of other images of a query's group, none of which is ever a negative.

    With labels for groups this is supervised contrast (SupCon, arXiv:2004.11362), here with a queue.
    """

    by: Literal["table", "parent"] = "table"
    """What says so: a table that is named beside the images (`--pairs`), or the folders they lie in."""
    window: float | None = None
    """Seconds within which one image of a group follows the one before; None: times do not matter."""
    positives: int = 1
    """P, images of the group that a query is contrasted with, each a key of its own."""


def check_grouped(groups: Grouped) -> None:
    """Raise MocoError, with the flag, for what cannot be."""
    if groups.positives < 1:
        raise MocoError(f"--positives {groups.positives}: must be at least 1")
    if groups.window is not None and not (math.isfinite(groups.window) and groups.window >= 0):
        raise MocoError(f"--pair-window {groups.window}: must be 0 seconds or more")
