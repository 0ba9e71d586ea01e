"""environment.json: on what a run was made, for whoever wants to make it again."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from moco.version import VERSION


class Seeded(Protocol):
    """A recipe of any work: a tree of frozen dataclasses, with the seed of what is drawn."""

    @property
    def seed(self) -> int:
        """Of all that is drawn."""


def environment(recipe: Seeded) -> dict[str, Any]:
    """Versions, the commit of this code where it is a checkout, the command, the seed and the time."""
    import torch  # these two take seconds: only where a run begins
    import torchvision

    return {
        "moco": VERSION,
        "commit": commit(Path(__file__).parents[3]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "platform": platform.platform(),
        "command": sys.argv,
        "seed": recipe.seed,
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def commit(root: Path) -> str | None:
    """The commit that `root` is a checkout of, with "+" where files were changed since; None where it is none."""
    if not (root / ".git").exists():
        return None
    try:
        head, changed = (
            subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=5, check=True)
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
