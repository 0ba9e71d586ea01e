"""Fine-tuning an encoder of images that are no photographs: read, shown and predicted in its bands, type and range."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from test_commands_transfer import Heard, run
from transfer_data import make_masks, make_voc

import moco
from moco.commands.check_annotated import check_annotated
from moco.commands.predict import predict
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.recipe import Normalize, Pixels, override, v2
from moco.run.encoder_file import save_encoder
from moco.transfer.layouts.annotated import Annotated
from moco.transfer.views import read_pixels

FOUR = Pixels(bands=(0, 1, 2, 3), of=4, kind="uint16", black=(0.0,) * 4, white=(4095.0,) * 4)
GRAY = Pixels(kind="uint16", white=(4095.0,))


def encoder_of(pixels, path):
    """An untrained encoder of such images, as a run leaves it."""
    mean, std = ((value,) * pixels.channels for value in (0.4, 0.2))
    recipe = override(v2(), {"encoder.backbone": "resnet10w8", "encoder.norm_group": None, "image_size": 64})
    recipe = replace(recipe, pixels=pixels, normalize=Normalize(mean=mean, std=std))
    save_encoder(path, build_encoder(recipe.encoder, pixels.channels)[0], recipe, 9)
    return path


def deepened(folder, bands):
    """Each PNG below the folder as 12 bits, of one band, or as a TIFF of four."""
    for path in sorted(folder.rglob("*.png")):
        pixels = np.asarray(Image.open(path)).astype(np.uint16) * 16
        if bands == 1:
            Image.fromarray(pixels[..., 0]).save(path)
        else:
            path.unlink()
            values = np.concatenate([pixels, pixels[..., :1]], axis=2)
            tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack", planarconfig="contig")


def test_four_bands_of_16_bits_are_segmented(tmp_path):
    data = make_masks(tmp_path / "data", train=4, test=2)
    deepened(data / "images", 4)
    start = encoder_of(FOUR, tmp_path / "encoder.pt")
    out = run("segment", data, tmp_path / "out", start=(str(start),), looks=1)
    assert len(list((out / "pictures").glob("*.png"))) == 2
    model = moco.load_transfer(out)
    assert model.fitted.pixels == FOUR
    values = tifffile.imread(next((data / "images" / "val").glob("*.tif")))
    assert model(values).shape == (64, 64)
    with pytest.raises(MocoError, match="3 bands, and files of this data set have 4"):
        model(values[..., :3])
    written = predict(out, data / "images" / "val", tmp_path / "found")
    assert len(list((written / "drawn").glob("*.png"))) == 2


def test_things_are_found_in_one_band_of_16_bits(tmp_path):
    data = make_voc(tmp_path / "data", train=4, test=2)
    deepened(data / "JPEGImages", 1)
    start = encoder_of(GRAY, tmp_path / "encoder.pt")
    out = run("detect-voc", data, tmp_path / "out", start=(str(start), "random"), looks=1)
    folders = {path.parent.name for path in out.glob("*/model.pt")}
    assert len(folders) == 2
    for folder in folders:
        assert moco.load_transfer(out / folder).model.body.stages.conv1.in_channels == 1


def test_untrained_alone_takes_the_bands_that_the_images_have(tmp_path):
    data = make_masks(tmp_path / "data", train=4, test=2)
    deepened(data / "images", 4)
    heard = Heard()
    out = run("segment", data, tmp_path / "out", heard=heard, looks=1)
    assert any("images are read as 4 channels (bands 0 to 3 of 4) of 16 bits" in note for note in heard.notes)
    model = moco.load_transfer(out)
    assert model.fitted.pixels.channels == len(model.fitted.normalize.mean) == 4


def test_a_check_reads_images_as_an_untrained_encoder_of_them_does(tmp_path):
    data = make_masks(tmp_path / "data", train=8, test=4)
    deepened(data / "images", 4)
    lines, too_many = check_annotated("segment", data)
    assert not too_many
    assert lines[0].startswith(
        "images are read as 4 channels (bands 0 to 3 of 4) of 16 bits; black to white: 0 to 4,095"
    )
    assert "a start is trained on 4 channels alike" in lines[1]
    path = next((data / "images" / "train").glob("*.tif"))
    tifffile.imwrite(path, tifffile.imread(path)[..., :3], photometric="rgb")
    lines, too_many = check_annotated("segment", data)
    assert too_many
    assert any(f"{path.name}: 3 bands, and files of this data set have 4" in line for line in lines)


def test_a_check_reads_images_as_the_start_was_trained_on_them(tmp_path):
    data = make_masks(tmp_path / "data", train=8, test=4)
    deepened(data / "images", 4)
    four = encoder_of(FOUR, tmp_path / "four.pt")
    assert check_annotated("segment", data, start=str(four))[1] is False
    gray = encoder_of(GRAY, tmp_path / "gray.pt")
    lines, too_many = check_annotated("segment", data, start=str(gray))
    assert too_many
    assert lines[0].startswith("images are read as one channel (the images are gray) of 16 bits")
    assert "gray.pt was trained on them" in lines[0]
    assert any("4 bands, and files of this data set have 1" in line for line in lines)


def test_photographs_stay_photographs_to_a_check_and_to_an_untrained_encoder(tmp_path):
    data = make_voc(tmp_path / "data", train=4, test=2)
    lines, _ = check_annotated("detect-voc", data)
    assert not any("images are read as" in line for line in lines)


def test_an_image_is_read_as_shares_of_the_range(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (8, 10, 4)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", values, photometric="minisblack", planarconfig="contig")
    image = Annotated("x", Path(tmp_path / "x.tif"), 0, 10, 8, made_of=FOUR)
    assert np.allclose(read_pixels(image).numpy(), values.transpose(2, 0, 1) / 4095, atol=1e-6)


def test_a_start_that_does_not_say_how_its_bands_are_prepared_is_refused(tmp_path):
    from foreign_layouts import resnet

    torch.save(resnet(channels=13).state_dict(), tmp_path / "x.pth")
    with pytest.raises(MocoError, match="takes images of 13 channels and does not say how they are prepared"):
        run(
            "segment",
            make_masks(tmp_path / "data", train=2, test=1),
            tmp_path / "out",
            start=(str(tmp_path / "x.pth"),),
        )
