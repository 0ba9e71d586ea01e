"""What makes two images alike: only what the encoder looks at is lit, whatever the encoder is."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from moco.backbones import build_backbone
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.pages.alike import LEAST_CELLS, MOST_CELLS, cells_for, lit, reasons

PLACE = place(Machine(device="cpu", precision="fp32", threads=1))


class Corner(nn.Module):
    """Sees the upper left quarter of an image and nothing else."""

    def forward(self, x):
        half = x.shape[-1] // 2
        return nn.functional.adaptive_avg_pool2d(x[..., :half, :half], 2).flatten(1)


class Blind(nn.Module):
    """Finds all images the same."""

    def forward(self, x):
        return torch.ones(len(x), 4) + 0 * x.sum()


def images(n=2, side=32):
    return list(torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0)))


def test_only_what_the_encoder_looks_at_is_lit():
    pytest.importorskip("captum")
    one, two = images()
    (found,) = reasons(Corner(), [(one, (one + 0.3 * two))], PLACE, 8)
    assert found.matters
    assert found.lowest < found.cosine
    assert found.heat.max() == 1
    beyond = found.heat.copy()
    beyond[:20, :20] = 0  # a window of 8 px that begins within the quarter of 16 px, at 12 at the most
    assert beyond.max() == 0


def test_where_no_part_matters_that_is_said():
    pytest.importorskip("captum")
    one, two = images()
    (found,) = reasons(Blind(), [(one, two)], PLACE, 4)
    assert not found.matters
    assert found.heat.max() == 0


@pytest.mark.parametrize("name", ["resnet10w8", "timm:vit_tiny_patch16_224"])
def test_a_resnet_and_a_vit_are_asked_in_the_same_way(name):
    pytest.importorskip("captum")
    if name.startswith("timm:"):
        timm = pytest.importorskip("timm")
        network = timm.create_model(name.removeprefix("timm:"), img_size=32, num_classes=0, depth=1)
    else:
        network = build_backbone(name, "small", 3)[0]
    one, two = images()
    (found,) = reasons(network, [(one, two)], PLACE, 4)
    with torch.no_grad():
        q, k = (nn.functional.normalize(network.eval()(x[None]), dim=1) for x in (one, two))
    assert found.cosine == pytest.approx(float((q * k).sum()), abs=1e-4)
    assert found.heat.shape == (32, 32)


def test_without_captum_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MocoError, match=r"pip install .momentum-contrast\[attention\]"):
        reasons(Blind(), [], PLACE, 4)


def test_the_window_takes_as_many_places_as_can_be_afforded():
    assert [cells_for(n, 4) for n in (0, 4 * 36, 10**6)] == [LEAST_CELLS, 6, MOST_CELLS]
    assert cells_for(100, 0) == MOST_CELLS


def test_light_keeps_what_matters_and_darkens_the_rest():
    pixels = np.full((2, 2, 3), 200, dtype=np.uint8)
    assert lit(pixels, np.array([[1.0, 0.0], [0.0, 0.0]]))[:, :, 0].tolist() == [[200, 44], [44, 44]]
