"""The loss of each image, as the map of images shows it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco.commands.losses import _losses
from moco.device import Placement
from moco.ops.info_nce import info_nce
from moco.recipe import Encoder, Queries, Queue, v2
from moco.training import build_training

CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")
RECIPE = replace(
    v2(),
    encoder=Encoder(backbone="resnet10w8", stem="small", dim=16, norm_group=4, head_layers=2),
    dictionary=Queue(size=32),
    image_size=16,
    batch=8,
)


@pytest.mark.parametrize("patches", [1, 2])
def test_an_image_has_the_mean_loss_of_all_that_its_view_asks(patches):
    t = build_training(replace(RECIPE, queries=Queries(patches=patches)), 64, CPU)
    t.model.eval()
    index = np.arange(8)
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
    crops = torch.stack([t.views.cut(image, 3, int(i)) for i, image in zip(index, images, strict=True)])
    found = _losses(t, crops, index)
    with torch.no_grad():
        turn = t.model.turns(*t.views.finish(crops, index, 1 << 40), 0)[0]
        blocks = turn.ask(slice(0, 8)).chunk(1 if patches == 1 else 6)
        places = torch.from_numpy(index)
        means = [info_nce(q, t.dictionary.look_up(q, turn.keys, places, 0), 0.2).loss for q in blocks]
    assert np.mean(found) == pytest.approx(float(torch.stack(means).mean()), rel=1e-5)
    assert len(set(found)) == 8
