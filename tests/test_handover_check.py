"""What was opened again is the encoder, or it is refused."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from moco import MocoError
from moco.handover.check import TOLERANCE, compare, original
from moco.handover.parcel import Exported, parcel_of
from moco.handover.photographs import COUNT, photographs
from moco.run.load import open_encoder


@pytest.fixture(scope="module")
def parcel():
    opened = open_encoder("torchvision:resnet18")
    return parcel_of(replace(opened, preprocess=replace(opened.preprocess, size=32)))


@pytest.fixture(scope="module")
def images(parcel):
    found, whose = photographs(parcel.opened, None)
    assert whose == "photographs"
    return found


@pytest.fixture(scope="module")
def known(parcel, images):
    return original(parcel, images)


def exported(parcel, change=lambda features: features, **more):
    return Exported("x", "a test", lambda pixels: [change(t) for t in parcel.outputs(pixels)], "", **more)


def test_the_photographs_are_real_and_differ(images):
    assert len(images) == COUNT
    assert all(image.shape == (256, 256, 3) and image.dtype == np.uint8 and image.std() > 20 for image in images)
    assert len({image.tobytes() for image in images}) == COUNT


def test_the_same_features_pass_and_the_difference_is_a_share_of_the_largest(parcel, known):
    assert compare(parcel, exported(parcel), known).features == 0
    largest = compare(parcel, exported(parcel, lambda t: t + 5e-6 * t.max()), known).features
    assert largest == pytest.approx(5e-6, rel=0.1)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t * (1 + 3 * TOLERANCE),
        lambda t: t.flip(0),
        lambda t: t[:, :-1],
        lambda t: t * float("nan"),
        torch.zeros_like,
    ],
)
def test_other_features_are_refused(change, parcel, known):
    with pytest.raises(MocoError, match="opened by a test, it gives other features"):
        compare(parcel, exported(parcel, change), known)


def test_another_size_is_compared_where_it_is_promised(parcel, known):
    def only_32(pixels):
        return parcel.outputs(pixels) if pixels.shape[-1] == 32 else [torch.zeros(COUNT, 512)]

    compare(parcel, Exported("x", "a test", only_32, ""), known)
    with pytest.raises(MocoError, match="other features"):
        compare(parcel, Exported("x", "a test", only_32, "", other_size=48), known)


def test_images_that_are_prepared_otherwise_are_refused(parcel, known):
    ours = parcel.opened.preprocess
    assert compare(parcel, exported(parcel, prepared=ours), known).pixels == 0

    def smaller_crop(image):
        return ours(image.crop((8, 8, image.width - 8, image.height - 8)))

    def wrong_mean(image):
        return ours(PIL.Image.fromarray(255 - np.asarray(image)))

    for other in (smaller_crop, wrong_mean):
        with pytest.raises(MocoError, match="would prepare images otherwise"):
            compare(parcel, exported(parcel, prepared=other), known)


def test_an_encoder_that_gives_nothing_finite_does_not_leave(parcel, images):
    broken = replace(parcel, opened=replace(parcel.opened, backbone=_Infinite()))
    with pytest.raises(MocoError, match="not finite"):
        original(broken, images)


class _Infinite(torch.nn.Module):
    def forward(self, images):
        return images.mean(dim=(2, 3)) / 0
