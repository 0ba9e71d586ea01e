"""The contrastive loss of each image by a run's last checkpoint: what the encoder finds hard to tell apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.commands.pairs import groups_of
from moco.commands.tell import Teller
from moco.data.decode import decode
from moco.data.open import open_source
from moco.data.pieces import pieces
from moco.data.seen import seen
from moco.data.source import Unreadable
from moco.device import place
from moco.dictionary import BatchKeys, TwoQueues, halves_of
from moco.errors import MocoError
from moco.labelfree import SAMPLE_EPOCH
from moco.machine import Machine
from moco.ops.info_nce import info_nce
from moco.run import checkpoint
from moco.run.directory import RunDirectory, is_run
from moco.search.features import FeatureSet
from moco.training import Training, build_training

_BATCH = 64


def losses_of(what: str | os.PathLike[str], found: FeatureSet, machine: Machine, tell: Teller) -> NDArray[np.float32]:
    """InfoNCE of each of the N images of `found`, one pair of views each, against the dictionary as it was saved.

    The views are those of an epoch that no training reaches, so that the same image always gets the same loss; NaN
    where an image cannot be read any more. Raises MocoError for what is no run with a checkpoint and a dictionary.
    """
    run = RunDirectory(Path(what))
    if not is_run(run.path) or not run.checkpoint.exists():
        raise MocoError(f"--losses: {os.fspath(what)} is no run with a checkpoint; leave the flag out")
    recipe = run.recipe()
    whole = pieces(open_source(found.data), recipe.pixels)
    source = seen(whole, recipe.pixels)
    placement = place(machine)
    training = build_training(recipe, len(source), placement, groups=groups_of(run, whole))
    if isinstance(training.dictionary, BatchKeys | TwoQueues):
        raise MocoError("--losses: this run has no dictionary of images that outlives a batch; leave the flag out")
    checkpoint.resume(training, run, tell)
    training.model.eval()
    losses = np.full(len(found.index), np.nan, dtype=np.float32)
    done = tell.reading("losses", len(losses))
    for first in range(0, len(losses), _BATCH):
        rows, crops = [], []
        for row in range(first, min(first + _BATCH, len(losses))):
            try:
                image = decode(source.raw(int(found.index[row])))
            except Unreadable:
                continue
            crops.append(training.views.cut(image, SAMPLE_EPOCH, int(found.index[row])))
            rows.append(row)
        if rows:
            losses[rows] = _losses(training, torch.stack(crops), found.index[rows])
        done(min(first + _BATCH, len(losses)))
    return losses


@torch.no_grad()
def _losses(training: Training, crops: Tensor, index: NDArray[np.int64]) -> list[float]:
    """Of images whose views these crops become, one by one: a loss is a mean."""
    device = training.placement.device
    x_q, x_k = training.views.finish(crops.to(device), index, SAMPLE_EPOCH)
    turn = training.model.turns(x_q, x_k, training.step)[0]
    q = turn.ask(slice(0, len(index)))
    places, loss = torch.from_numpy(index).to(device), training.recipe.loss
    dictionary, _ = halves_of(training.dictionary)
    found = []
    for n in range(len(index)):
        asked = []
        for one in q[n :: len(index), None]:  # all that the image's view asks
            contrast = dictionary.look_up(one, turn.keys, places, training.step, n)
            asked.append(float(info_nce(one, contrast, loss.temperature, hardness=loss.hardness).loss))
        found.append(sum(asked) / len(asked))
    return found
