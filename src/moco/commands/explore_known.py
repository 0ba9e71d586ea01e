"""What a person told a run about the images of a map: the groups of `--pairs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from moco.commands.tell import Teller
from moco.data.open import open_source
from moco.errors import MocoError
from moco.run.directory import PAIRS, RunDirectory, is_run

if TYPE_CHECKING:
    from moco.search.features import FeatureSet


def known_groups(found: FeatureSet, tell: Teller) -> list[str] | None:
    """The group of each image by the run that embedded it, empty words where it has none.

    None where the run knows no groups, or learnt from other images. Groups that have changed are left out, and that is
    told.
    """
    path = Path(found.encoder) if found.encoder else None
    if path is None or not is_run(path) or not (path / PAIRS).exists():
        return None
    from moco.commands.pairs import known_of
    from moco.data.pieces import pieces

    run = RunDirectory(path)
    if run.read("data.json").get("data") != found.data:
        return None
    try:
        known = known_of(run, pieces(open_source(found.data), run.recipe().pixels))
    except MocoError as error:
        tell.note(f"the map has no colours by group: {error}")
        return None
    return None if known is None else [known.names[i] for i in found.index.tolist()]
