"""Transformers, silent while it works for us."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars and advice of it while inside, nor of its hub's client each time it asks again."""
    from transformers.utils import logging as theirs

    clients = logging.getLogger("huggingface_hub")
    verbosity, bars, level = theirs.get_verbosity(), theirs.is_progress_bar_enabled(), clients.level
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    clients.setLevel(logging.ERROR)
    try:
        yield
    finally:
        clients.setLevel(level)
        theirs.set_verbosity(verbosity)
        if bars:
            theirs.enable_progress_bar()
