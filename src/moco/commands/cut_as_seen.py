"""The images that features were made of, where these are pages or tiles of files."""

from __future__ import annotations

from pathlib import Path

from moco.data.source import Source
from moco.run.directory import RunDirectory, is_run


def cut_as_seen(source: Source, encoder: str) -> Source:
    """The source in the pieces that the encoder was shown, where its run, or that it lies in, says that it was."""
    path = Path(encoder)
    run = path if is_run(path) else path.parent
    if not is_run(run):
        return source
    from moco.data.pieces import pieces

    return pieces(source, RunDirectory(run).recipe().pixels)
