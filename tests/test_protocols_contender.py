"""What an encoder is put beside: the same untrained, the pixels, others; each once."""

from dataclasses import replace

import pytest
import torch

from moco.device import seeded
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.protocols.contender import Pixels, contenders
from moco.recipe import override, v2
from moco.run.encoder_file import save_encoder
from moco.run.load import open_encoder

RECIPE = override(v2(), {"encoder.backbone": "resnet10w8", "image_size": 16, "seed": 5})
X = torch.rand(2, 3, 16, 16)


def opened(tmp_path):
    with seeded(7, torch.device("cpu")):
        encoder = build_encoder(RECIPE.encoder)[0]
    save_encoder(tmp_path / "encoder.pt", encoder, RECIPE, 1)
    return open_encoder(tmp_path / "encoder.pt")


def test_random_is_the_run_before_its_first_step(tmp_path):
    first = opened(tmp_path)
    one, random = contenders("x", first, ["random"], open_encoder)
    with seeded(RECIPE.seed, torch.device("cpu")):
        start = build_encoder(replace(RECIPE.encoder, norm_group=None))[0].backbone.eval()
    assert (one.name, random.name) == ("this encoder", "untrained")
    assert torch.equal(random.module(X), start(X))
    assert not torch.equal(random.module(X), one.module(X))
    assert one.recipe == RECIPE
    assert (one.trained, random.trained) == (True, False)
    assert one.whole is not None
    assert random.whole is None


def test_random_of_a_librarys_model_is_another_draw_even_where_that_has_no_weights_yet():
    first = open_encoder("torchvision:resnet18")
    one, random = contenders("torchvision:resnet18", first, ["random"], open_encoder)
    assert one.module.state_dict().keys() == random.module.state_dict().keys()
    assert not torch.equal(one.module.conv1.weight, random.module.conv1.weight)
    assert (one.trained, random.trained) == (False, False), (
        "nothing to start from: it is tuned at the rate from scratch"
    )


def test_pixels_are_the_image_in_0_to_1_and_averaged_beyond_32_px(tmp_path):
    *_, pixels = contenders("x", opened(tmp_path), ["pixels"], open_encoder)
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    made = pixels.module(pixels.preprocess.normalise(images))
    assert torch.allclose(made, images.flatten(1) / 255)
    assert not pixels.learns
    large = torch.rand(2, 3, 64, 64)
    assert torch.allclose(Pixels()(large), large.view(2, 3, 32, 2, 32, 2).mean(dim=(3, 5)).flatten(1), atol=1e-6)


def test_others_are_opened_and_none_comes_twice(tmp_path):
    first = opened(tmp_path)
    asked = []

    def open_other(name):
        asked.append(name)
        return first

    found = contenders("x", first, ["pixels", "other", "x", "pixels", "other"], open_other)
    assert [c.name for c in found] == ["this encoder", "pixels", "other"]
    assert asked == ["other"]


def test_another_encoder_cannot_have_the_name_of_a_row(tmp_path):
    first = opened(tmp_path)
    with pytest.raises(MocoError, match=r"--against untrained: .* give a path, such as \./untrained"):
        contenders("x", first, ["random", "untrained"], lambda name: first)
