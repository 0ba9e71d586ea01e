"""kNN on labelled images while a run goes on."""

from __future__ import annotations

import os

from moco.data.open import Labelled, open_labelled
from moco.data.pieces import labelled_pieces
from moco.data.seen import seen
from moco.device import Placement
from moco.embed import Prepared, embed
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.protocols.knn import knn_accuracy
from moco.recipe import Recipe


def open_watched(watch: str | os.PathLike[str]) -> Labelled:
    """The labelled images of --watch; raises MocoError where it names none."""
    try:
        return open_labelled(watch)
    except MocoError as error:
        said = str(error).replace("--data", "--watch")
        raise MocoError(said if "--watch" in said else f"--watch {os.fspath(watch)}: {said}") from None


class KNNWatch:
    """kNN on labelled images: against the bank where the data come split, else each image against the others."""

    def __init__(
        self, labelled: Labelled, recipe: Recipe, preprocess: Preprocess, placement: Placement, workers: int
    ) -> None:
        labelled = labelled_pieces(labelled, recipe.pixels)
        self._knn = recipe.knn
        self._labelled = labelled
        self._images = Prepared(seen(labelled.source, recipe.pixels), preprocess.centre, workers, together=True)
        self._bank = (
            Prepared(seen(labelled.bank.source, recipe.pixels), preprocess.centre, workers, together=True)
            if labelled.bank
            else None
        )
        self._preprocess = preprocess
        self._placement = placement

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """{"knn": share of images whose class is found}."""
        module = encoder if self._knn.features == "head" else encoder.backbone
        encoder.eval()
        features = embed(module, self._images, self._preprocess.normalise, self._placement)
        labels = self._labelled.labels[self._images.index]
        bank = None
        if self._bank is not None and self._labelled.bank is not None:
            known = embed(module, self._bank, self._preprocess.normalise, self._placement)
            bank = (known, self._labelled.bank.labels[self._bank.index])
        encoder.train()
        classes, knn = len(self._labelled.classes), self._knn
        return {"knn": knn_accuracy(features, labels, classes, k=knn.k, temperature=knn.temperature, bank=bank)}
