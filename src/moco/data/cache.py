"""Where things are kept that can be made again: $XDG_CACHE_HOME/moco, by default ~/.cache/moco."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder for one kind of thing; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    return Path(root) / "moco" / kind
