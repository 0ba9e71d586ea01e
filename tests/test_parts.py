"""The public parts are those that `moco pretrain` and `moco evaluate` are made of: the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import moco
from moco.device import seeded
from moco.dictionary import KeyQueue
from moco.encoder import build_encoder
from moco.labelfree import effective_rank
from moco.model import Contrastive
from moco.ops.batch_norm import GroupBatchNorm
from moco.ops.info_nce import Contrast, info_nce_plain
from moco.protocols.knn import knn_accuracy
from moco.recipe import VIEWS, override, v2
from moco.two_views import Views

CPU = torch.device("cpu")


def recipe(**changes):
    return override(v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "image_size": 16} | changes)


def test_a_queue_holds_what_a_run_of_the_same_seed_begins_with():
    ours, theirs = moco.Queue(32, 8, seed=3), KeyQueue(32, 8, torch.Generator().manual_seed(4))
    assert torch.equal(ours.keys, theirs.keys)
    k = F.normalize(torch.randn(5, 8), dim=1)
    ours.update(k)
    theirs.update(k, k, k)
    assert ours.state().keys() == theirs.state_dict().keys()
    assert all(torch.equal(ours.state()[name], value) for name, value in theirs.state_dict().items())
    assert {"ring.keys", "ring.pointer"} <= ours.state_dict().keys(), "it is saved with the module it belongs to"


def test_the_loss_is_that_of_the_plain_formula_for_a_queue_and_for_tensors_of_ones_own():
    q, k = F.normalize(torch.randn(2, 6, 8), dim=2)
    queue = moco.Queue(24, 8)
    plain = info_nce_plain(q, Contrast(k, queue.keys), 0.2)
    assert torch.allclose(moco.info_nce(q, *queue.look_up(k), temperature=0.2).loss, plain, atol=1e-6)
    assert torch.allclose(moco.info_nce(q, k, queue.keys.clone(), temperature=0.2).loss, plain, atol=1e-6)


def test_an_encoder_by_name_has_the_weights_of_a_recipe_of_the_same_seed():
    torch.manual_seed(0)
    ours = moco.build_encoder("resnet10w8", stem="small", dim=16, norm_group=4)
    with seeded(0, CPU):
        theirs, _ = build_encoder(recipe(**{"encoder.head_layers": 2, "encoder.dim": 16}).encoder)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert {m.group for m in ours.modules() if isinstance(m, GroupBatchNorm)} == {4}


def test_shuffled_keys_are_those_of_a_run_and_have_no_gradient():
    chosen = recipe(**{"encoder.norm_group": 4, "batch": 8})
    with seeded(0, CPU):
        model = Contrastive(chosen).train()
    x = torch.randn(8, 3, 16, 16)
    theirs = model.turns(x, x, 5)[0].keys
    ours = moco.shuffled_keys(model.key_encoder, x, step=5, seed=chosen.seed)
    assert torch.equal(ours, theirs)
    assert not ours.requires_grad
    assert not torch.equal(moco.shuffled_keys(model.key_encoder, x, step=6), ours), "another order, other groups"


@pytest.mark.parametrize("name", ["photos", "documents"])
def test_views_are_those_of_a_run(name):
    pixels = torch.randint(0, 256, (6, 3, 20, 24), dtype=torch.uint8)
    index = np.array([5, 0, 3, 9, 2, 7])
    chosen = replace(recipe(), query_view=VIEWS[name], key_view=None)
    theirs = Views(chosen)(pixels, np.tile([20, 24], (6, 1)), index, 2)
    views = moco.views(name, size=16)
    for given in (index, torch.from_numpy(index), index.tolist()):
        assert all(torch.equal(a, b) for a, b in zip(views(pixels, given, 2), theirs, strict=True))
    assert not torch.equal(views(pixels, index, 3)[0], theirs[0])


def test_views_of_ones_own_and_of_any_number_of_channels():
    still = moco.View(
        scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=moco.Jitter(p=0.0), gray=0.0, blur=moco.Blur(p=0.0)
    )
    pixels = torch.randint(0, 256, (4, 5, 8, 8), dtype=torch.uint8)
    x_q, x_k = moco.views(still, "satellite", size=8, channels=5)(pixels)
    assert torch.allclose(x_q, (pixels / 255 - 0.5) / 0.25, atol=1e-5)
    assert x_k.shape == (4, 5, 8, 8)
    assert not torch.equal(x_q, x_k)
    padded = F.pad(pixels, (0, 4, 0, 2))
    again, _ = moco.views(still, size=8, channels=5)(padded, sizes=[[8, 8]] * 4)
    assert torch.allclose(again, x_q, atol=1e-5), "what was padded is not seen"


def test_scores_are_those_of_the_rows_of_a_run():
    z = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    assert moco.effective_rank(z) == pytest.approx(float(effective_rank(z)))
    assert moco.effective_rank(torch.ones(10, 4)) == pytest.approx(1, abs=1e-3)
    assert moco.alignment(z, z) == 0
    assert moco.alignment(z, -z) == pytest.approx(4, abs=1e-4)
    assert moco.uniformity(z[:1].repeat(5, 1)) == pytest.approx(0, abs=1e-5)
    assert 0.8 < moco.spread(z) < 1.1
    assert moco.retrieval_accuracy(z, z) == 1
    assert moco.retrieval_accuracy(z, z.roll(1, 0)) == 0
    assert moco.lidar(torch.stack([z, z], dim=1)) <= 8.01
    turns = torch.eye(4).repeat_interleave(20, 0) + 0.01 * torch.randn(80, 4)
    assert moco.rotation_accuracy(turns) == 1


def test_knn_and_the_linear_probe_find_what_can_be_found():
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(20)
    features = F.one_hot(labels, 6).float() + 0.1 * torch.randn(60, 6, generator=g)
    test, truth = features + 0.1 * torch.randn(60, 6, generator=g), labels
    assert moco.knn(features, labels, k=5) == 1
    assert moco.knn(features, labels, test, truth, k=5, vote="majority") == 1
    noise = torch.randint(0, 3, (60,), generator=g)
    assert moco.knn(features, noise, k=5) == knn_accuracy(features, noise.numpy(), 3, k=5, temperature=0.07)
    found = moco.linear_probe(features, labels, test, truth, epochs=20)
    assert found.last == 1
    assert moco.linear_probe(features, labels, test, truth, epochs=20, lr=found.lr).last == 1
    assert moco.linear_probe(features, labels, test, (truth + 1) % 3, epochs=5, lr=10.0).last == 0
