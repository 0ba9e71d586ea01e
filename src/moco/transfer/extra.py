"""The libraries of the extra `transfer`; where they are missing, one sentence says how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from moco.errors import MocoError


def from_extra(module: str) -> Any:
    """A module that comes with the extra; raises MocoError where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        library = module.split(".")[0].replace("_", "-")
        raise MocoError(f"this task needs {library}: pip install 'momentum-contrast[transfer]'") from None
