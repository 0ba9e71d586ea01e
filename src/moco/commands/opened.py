"""An encoder for a command that shows it images: opened by every process, with what there is to say about it."""

from __future__ import annotations

import os

from moco import distributed
from moco.commands.tell import Teller
from moco.errors import MocoError
from moco.run.load import Opened, open_encoder


def open_for_images(encoder: str | os.PathLike[str], tell: Teller) -> Opened:
    """What `open_encoder` opens; what was taken of a file and what left aside is told.

    Raises MocoError for an encoder of images of other channels than its preprocessing makes.
    """
    opened = distributed.on_each(lambda: open_encoder(encoder))
    for note in opened.notes:
        tell.note(f"{os.fspath(encoder)}: {note}")
    if opened.channels != opened.preprocess.channels:
        raise MocoError(
            f"{os.fspath(encoder)} takes images of {opened.channels} channels, and images are opened in "
            f"{opened.preprocess.channels}; "
            "moco.load gives the encoder for tensors of your own"
        )
    return opened
