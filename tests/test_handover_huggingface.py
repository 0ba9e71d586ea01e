"""A folder that AutoModel and AutoImageProcessor open, with a card that says what the encoder is."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from transformers import AutoImageProcessor, AutoModel, ResNetModel, TimmWrapperModel

from moco import export, load
from moco.commands.pretrain import pretrain
from moco.data.decide import Asked
from moco.encoder import build_encoder
from moco.machine import Machine
from moco.protocols.result import Cell, Result
from moco.recipe import override, v2
from moco.run.encoder_file import save_encoder

IMAGE = PIL.Image.fromarray(np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)).resize((300, 200))


def saved(path, name):
    recipe = override(v2(), {"encoder.backbone": name, "image_size": 64})
    torch.manual_seed(0)
    save_encoder(path, build_encoder(replace(recipe.encoder, norm_group=None))[0], recipe, 1)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("resnet18w8", ResNetModel), ("resnet50w8", ResNetModel), ("timm:convnext_atto", TimmWrapperModel)],
)
def test_known_architectures_open_without_any_code(name, kind, tmp_path):
    path = saved(tmp_path / "encoder.pt", name)
    done = export(path, "huggingface", tmp_path / "out")
    assert not list(done.folder.glob("modeling*.py"))
    model = AutoModel.from_pretrained(done.folder).eval()
    assert isinstance(model, kind)
    processor = AutoImageProcessor.from_pretrained(done.folder)
    encoder, preprocess = load(path)
    with torch.no_grad():
        found = model(**processor(IMAGE, return_tensors="pt")).pooler_output.flatten(1)
        expected = encoder(preprocess(IMAGE)[None])
    assert (found - expected).abs().max() <= 0.02 * expected.abs().max(), "resizing may round a pixel otherwise"


SHAPES = [(height, 128) for height in range(128, 137)] + [(128, 171), (61, 300), (40, 30), (128, 1000)]
"""Of which every rest around the central square, divided by four, leaves 0, 1, 2 and 3."""


@pytest.mark.parametrize("name", ["resnet18w8", "timm:convnext_atto", "mobilenet_v3_small"])
def test_images_of_any_shape_are_cut_where_the_encoder_saw_them(name, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(4)
    for k, shape in enumerate(SHAPES):
        PIL.Image.fromarray(pixels.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(images / f"{k:02}.png")
    path = saved(tmp_path / "encoder.pt", name)
    done = export(path, "huggingface", tmp_path / "out", data=images)
    assert done.pixels is not None
    assert done.pixels < 1e-6
    processor = AutoImageProcessor.from_pretrained(done.folder, trust_remote_code=True)
    _, preprocess = load(path)
    for image in sorted(images.iterdir()):
        opened = PIL.Image.open(image)
        assert torch.allclose(processor(opened)["pixel_values"][0], preprocess(opened), atol=1e-5), opened.size


def test_images_of_any_mode_and_as_arrays_are_prepared_as_ours(tmp_path):
    path = saved(tmp_path / "encoder.pt", "resnet18w8")
    done = export(path, "huggingface", tmp_path / "out")
    processor = AutoImageProcessor.from_pretrained(done.folder, trust_remote_code=True)
    _, preprocess = load(path)
    half = IMAGE.convert("RGBA")
    half.putalpha(128)
    for image in (IMAGE.convert("L"), IMAGE.convert("P"), IMAGE.convert("CMYK"), half):
        there = processor(image)["pixel_values"][0]
        assert (there - preprocess(image)).abs().max() <= 1.01 / 255 / min(preprocess.normalize.std), image.mode
    array = np.asarray(IMAGE)
    for images in ([IMAGE, IMAGE], [array, array], torch.from_numpy(np.stack([array, array])).permute(0, 3, 1, 2)):
        assert torch.equal(processor(images)["pixel_values"], torch.stack([preprocess(IMAGE)] * 2))
    with pytest.raises(ValueError, match="do_normalize: no option changes"):
        processor(IMAGE, do_normalize=False)
    with pytest.raises(ValueError, match="mode I;16; give one of 8 bits"):
        processor(PIL.Image.fromarray(np.full((40, 40), 5000, dtype=np.uint16)))
    processor.save_pretrained(tmp_path / "again")
    again = AutoImageProcessor.from_pretrained(tmp_path / "again", trust_remote_code=True)
    assert torch.equal(again(IMAGE)["pixel_values"], processor(IMAGE)["pixel_values"])


def test_what_a_network_computes_when_it_is_made_comes_with_its_head(tmp_path):
    recipe = override(v2(), {"encoder.backbone": "timm:swin_tiny_patch4_window7_224", "image_size": 224})
    encoder = build_encoder(replace(recipe.encoder, norm_group=None))[0]
    assert set(dict(encoder.backbone.named_buffers())) - set(encoder.backbone.state_dict()), "indices that no file has"
    save_encoder(tmp_path / "encoder.pt", encoder, recipe, 1)
    assert export(tmp_path / "encoder.pt", "huggingface", tmp_path / "out", head=True).difference <= 1e-5


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    np.save(folder / "digits.npy", digits[0][:128, ..., None].repeat(3, axis=3))
    changes = {
        "encoder.backbone": "resnet10w8",
        "encoder.stem": "small",
        "image_size": 16,
        "batch": 32,
        "epochs": 3,
        "dictionary.size": 64,
    }
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=1, log_every=2)
    pretrain(
        folder / "digits.npy",
        folder / "run",
        override(v2(), changes),
        machine=machine,
        asked=Asked(bands="rgb"),
    )
    return folder / "run"


def test_the_card_is_written_from_the_run(run, tmp_path):
    rows = {"this encoder": [Cell(0.5)], "untrained": [Cell(0.25)]}
    result = Result(
        protocol="knn", data="d", title="kNN on d", columns=["k=20"], rows=rows, settings={}, device="a CPU", seconds=1
    )
    result.save(run / "evaluations", "d")
    done = export(run, "huggingface", tmp_path / "out")
    card = (done.folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "transformers"
    assert front["license_name"] == "to-be-filled-in"
    for words in ("128 images without labels", "| dictionary.size | 64 | 65536 |", "kNN on d", "50.0", "25.0"):
        assert words in card
    assert "trust_remote_code=True" in card, "a small stem brings its lines"
    assert "To be filled in" in card
    assert "digits.npy" not in card, "where images lie is nobody's business"
    assert (done.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "](loss.png)" in card
    assert "After 12 steps the loss is " in card


def test_the_card_of_random_weights_says_so(tmp_path):
    done = export("torchvision:resnet18", "huggingface", tmp_path / "out")
    assert "random: nothing has been learnt" in (done.folder / "README.md").read_text()
