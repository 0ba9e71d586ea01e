"""The middle of an image as evaluations see it equals torchvision's resize and central crop."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms import CenterCrop, Resize, functional

from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize, cifar

PHOTO = load_sample_image("china.jpg")


@pytest.mark.parametrize("size", [32, 64, 224])
@pytest.mark.parametrize("shape", [(427, 640), (200, 90), (64, 64), (33, 1000)])
def test_it_is_resize_and_central_crop(size, shape):
    preprocess = Preprocess(size, Normalize())
    image = Image.fromarray(PHOTO).resize(shape[::-1])
    short = {32: 32, 64: 73, 224: 256}[size]
    theirs = functional.pil_to_tensor(CenterCrop(size)(Resize(short)(image))).float() / 255
    theirs = functional.normalize(theirs, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    for given in (image, np.asarray(image), image.convert("RGBA")):
        assert torch.allclose(preprocess(given), theirs, atol=1e-6)


def test_images_of_the_right_size_are_only_normalised():
    image = PHOTO[100:132, 100:132]
    expected = functional.normalize(
        torch.from_numpy(image.copy()).permute(2, 0, 1) / 255, [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]
    )
    assert torch.allclose(Preprocess(32, cifar().normalize)(image), expected, atol=1e-6)


def test_gray_and_16_bit_images_are_taken_as_they_look():
    deep = Image.fromarray(np.full((40, 40), 40000, dtype=np.uint16))
    assert (Preprocess(32, Normalize()).centre(np.full((40, 40, 3), 156, dtype=np.uint8)) == 156).all()
    shallow = Preprocess(32, Normalize())(Image.fromarray(np.full((40, 40), 156, dtype=np.uint8)))
    assert torch.allclose(Preprocess(32, Normalize())(deep), shallow, atol=1e-6)


def test_it_travels_to_worker_processes():
    preprocess = Preprocess(32, Normalize())
    assert pickle.loads(pickle.dumps(preprocess)) == preprocess


def test_arrays_of_another_kind_are_refused():
    with pytest.raises(MocoError, match="float64"):
        Preprocess(32, Normalize())(np.zeros((32, 32, 3)))


@pytest.mark.parametrize("image", ["cat.jpg", Path("cat.jpg"), b"bytes", torch.zeros(3, 8, 8), None])
def test_what_is_no_image_is_named_and_a_path_is_shown_how_to_be_opened(image):
    with pytest.raises(MocoError, match=rf"a {type(image).__name__} is no image") as said:
        Preprocess(8, Normalize())(image)
    assert ("PIL.Image.open('cat.jpg')" in str(said.value)) == isinstance(image, str | Path)
