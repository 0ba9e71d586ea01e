"""An encoder that leaves: every format gives the same features back, or nothing is left behind."""

import json
import pickle
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from moco import MocoError, export, load
from moco.commands.evaluate import evaluate
from moco.commands.export import export_all
from moco.commands.pretrain import pretrain
from moco.encoder import build_encoder
from moco.handover import check
from moco.handover.table import FORMATS, Format
from moco.machine import Machine
from moco.recipe import Normalize, override, v2
from moco.run.encoder_file import read_encoder, save_encoder

MACHINE = Machine(device="cpu", precision="fp32", threads=1, workers=1)
SMALL = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "image_size": 16,
    "batch": 32,
    "epochs": 1,
    "dictionary.size": 64,
}
HOLD_SMALL = ["torchvision", "timm", "safetensors", "onnx", "torch-export", "huggingface"]


class Notes:
    """Hears what is told."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def run(digits, made_once):
    """A run of a small, narrow encoder, as the demo's is, judged once."""

    def make(folder):
        rgb = digits[0][..., None].repeat(3, axis=3)
        np.save(folder / "digits.npy", rgb[:480])
        np.savez(folder / "labelled.npz", images=rgb[480:680], labels=digits[1][480:680])
        pretrain(folder / "digits.npy", folder / "run", override(v2(), SMALL), machine=MACHINE)
        evaluate(folder / "run", folder / "labelled.npz", ["knn"], against=["random"], machine=MACHINE)

    return made_once("exported-run", make) / "run"


@pytest.fixture(scope="module")
def resnet18(digits, tmp_path_factory):
    """A file of an ordinary ResNet-18 whose BatchNorms have seen images."""
    recipe = override(v2(), {"encoder.backbone": "resnet18", "image_size": 32})
    torch.manual_seed(5)
    encoder, _ = build_encoder(replace(recipe.encoder, norm_group=None))
    images = torch.from_numpy(digits[0][:64].astype(np.float32) / 255).repeat(3, 1, 1, 1).transpose(0, 1)
    encoder.train()(F.interpolate(images, 32))
    path = tmp_path_factory.mktemp("resnet18") / "encoder.pt"
    save_encoder(path, encoder, recipe, 7)
    return path


@pytest.mark.parametrize("name", HOLD_SMALL)
def test_a_small_narrow_encoder_comes_back_from_every_format_that_can_express_it(name, run, tmp_path):
    notes = Notes()
    done = export(run, name, tmp_path / name, tell=notes)
    assert done.difference <= 1e-5
    assert done.images == 8
    record = json.loads((tmp_path / name / "export.json").read_text())
    assert record["difference"] == done.difference
    assert record["recipe"]["encoder"]["backbone"] == "resnet10w8"
    assert "digits.npy" in record["compared_on"], "the run's own images"
    assert f"{done.difference:.1e}" in notes.said[0]
    assert [p.name for p in tmp_path.iterdir()] == [name], "nothing beside it"


def test_an_encoder_of_other_images_than_photographs_leaves_where_nothing_prepares_them(digits_file, tmp_path):
    pretrain(digits_file, tmp_path / "run", override(v2(), SMALL), machine=MACHINE)
    _, preprocess = load(tmp_path / "run")
    assert preprocess.channels == 1, "gray, as the array is"
    done, left = export_all(tmp_path / "run", tmp_path / "all")
    assert {one.format for one in done} == {"torchvision", "safetensors", "onnx", "torch-export"}
    assert all(one.difference <= 1e-5 for one in done)
    assert "RGB photographs" in left["huggingface"]
    told = json.loads((tmp_path / "all" / "onnx" / "export.json").read_text())
    assert told["architecture"]["stem"]["bands"] == 1
    with pytest.raises(MocoError, match="--preprocess is for RGB photographs"):
        export(tmp_path / "run", "onnx", tmp_path / "pixels", preprocess=True)
    digits_file.unlink()
    with pytest.raises(MocoError, match="name some with --data"):
        export(tmp_path / "run", "torchvision", tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
def test_a_resnet_18_comes_back_from_every_format(name, resnet18, tmp_path):
    done = export(resnet18, name, tmp_path / "out")
    assert done.difference <= 1e-5
    assert done.file.exists()
    if name not in ("onnx", "torch-export"):
        images = torch.linspace(-2, 2, 2 * 3 * 32 * 32).view(2, 3, 32, 32).sin()
        assert torch.equal(load(done.file)[0](images), load(resnet18)[0](images)), "and this program opens it too"


def test_all_hands_over_what_can_be_and_says_why_the_rest_cannot(run, tmp_path, monkeypatch):
    notes = Notes()
    monkeypatch.setattr("moco.commands.export.FORMATS", {k: FORMATS[k] for k in ("torchvision", "detectron2")})
    done, left = export_all(run, tmp_path / "all", tell=notes)
    assert [one.format for one in done] == ["torchvision"]
    assert left == {"detectron2": notes.said[1].removeprefix("detectron2: ")}
    assert "3x3" in left["detectron2"]


def test_a_difference_beyond_the_limit_leaves_nothing(run, tmp_path, monkeypatch):
    true = FORMATS["torchvision"]

    def damaged(parcel, folder):
        exported = true.write(parcel, folder)
        return replace(exported, again=lambda pixels: [1.0001 * t for t in exported.again(pixels)])

    monkeypatch.setitem(FORMATS, "torchvision", Format(true.obstacle, damaged))
    with pytest.raises(MocoError, match=r"differ by 1\.0e-04 .*1e-05 is allowed"):
        export(run, "torchvision", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_stays_when_a_later_one_fails_and_goes_when_it_does_not(run, tmp_path, monkeypatch):
    export(run, "torchvision", tmp_path / "out")
    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    with pytest.raises(MocoError, match="differ"):
        export(run, "safetensors", tmp_path / "out")
    assert (tmp_path / "out" / "encoder.pth").exists()
    monkeypatch.undo()
    export(run, "safetensors", tmp_path / "out")
    assert not (tmp_path / "out" / "encoder.pth").exists()


@pytest.mark.parametrize("name", ["torchvision", "safetensors", "huggingface", "timm"])
def test_the_head_is_kept_where_it_is_asked_for(name, run, tmp_path):
    assert export(run, name, tmp_path / "out", head=True).difference <= 1e-5


def test_the_official_file_keeps_an_mlp_head_under_fc(resnet18, tmp_path):
    export(resnet18, "official", tmp_path / "out", head=True)
    told = torch.load(tmp_path / "out" / "checkpoint.pth.tar", weights_only=True)
    assert told["arch"] == "resnet18"
    assert told["state_dict"]["module.encoder_q.fc.2.weight"].shape == (128, 512)
    assert load(tmp_path / "out" / "checkpoint.pth.tar")[0] is not None


def test_onnx_takes_pixels_of_any_number_and_size_and_keeps_the_head(run, tmp_path):
    export(run, "onnx", tmp_path / "out", preprocess=True, head=True)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "encoder.onnx")
    encoder, preprocess = load(run)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)
    expected = encoder(preprocess.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    found, projections = session.run(None, {"images": pixels})
    assert np.allclose(np.linalg.norm(projections, axis=1), 1, atol=1e-5)
    assert np.abs(found - expected.detach().numpy()).max() <= 1e-5 * expected.abs().max()
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["mean"]) == list(preprocess.normalize.mean)
    assert "resnet10w8" in told["recipe"]


def test_a_safetensors_file_says_what_it_is(run, tmp_path):
    export(run, "safetensors", tmp_path / "out")
    with safe_open(tmp_path / "out" / "encoder.safetensors", "pt") as file:
        told = file.metadata()
    assert told["image_size"] == "16"
    assert json.loads(told["std"]) == [0.229, 0.224, 0.225]
    assert json.loads(told["recipe"])["name"] == "v2"


def test_the_detectron2_file_is_the_official_converters(resnet18, tmp_path):
    export(resnet18, "detectron2", tmp_path / "out")
    with (tmp_path / "out" / "encoder.pkl").open("rb") as file:
        content = pickle.load(file)
    assert content["__author__"] == "MOCO"
    assert content["matching_heuristics"] is True
    weights = read_encoder(resnet18)[0].backbone.state_dict()
    for here, there in {
        "stem.conv1.weight": "conv1.weight",
        "stem.conv1.norm.running_var": "bn1.running_var",
        "res2.1.conv2.norm.bias": "layer1.1.bn2.bias",
        "res5.0.shortcut.weight": "layer4.0.downsample.0.weight",
        "res5.0.shortcut.norm.running_mean": "layer4.0.downsample.1.running_mean",
    }.items():
        assert np.array_equal(content["model"][here], weights[there].numpy())
    assert len(content["model"]) == len(weights)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "keras"}, "there is no format 'keras'; take torchvision"),
        ({"format": "detectron2"}, "a 3x3 first convolution of stride 1.*these formats hold this encoder: torchvision"),
        ({"format": "torchvision", "preprocess": True}, "holds weights.*onnx, torch-export"),
        ({"format": "onnx", "push": "a/b"}, "--push is for huggingface"),
        ({"format": "huggingface", "push": "photos"}, "write USER/NAME"),
        ({"format": "onnx", "out": "x.onnx"}, "looks like a file: name a folder, such as x"),
        ({"format": "onnx", "out": "."}, "is no new folder; name one, such as onnx"),
        ({"format": "onnx", "out": ".."}, r"is no new folder; name one, such as \.\./onnx"),
        ({"format": "onnx", "out": "n" * 300}, "file name too long"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(options, says, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MocoError, match=says):
        export(run, **{"out": "new", **options})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_touched(run, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(MocoError, match=r"letter\.txt is not as an export left it"):
        export(run, "torchvision", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_an_export_is_replaced_but_what_somebody_added_to_it_or_changed_is_not(run, tmp_path):
    out = tmp_path / "out"
    export(run, "torchvision", out)
    export(run, "safetensors", out)
    assert not (out / "encoder.pth").exists()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(MocoError, match=r"notes\.txt is not as an export left it"):
        export(run, "timm", out)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    (out / "load.py").write_text("changed")
    with pytest.raises(MocoError, match=r"load\.py is not as an export left it"):
        export(run, "timm", out)
    assert (out / "encoder.safetensors").exists()


def test_a_folder_with_an_export_json_of_something_else_is_not_touched(run, tmp_path):
    (tmp_path / "export.json").write_text('{"of": "another program"}')
    with pytest.raises(MocoError, match=r"export\.json is not as an export left it"):
        export(run, "torchvision", tmp_path)
    assert (tmp_path / "export.json").read_text() == '{"of": "another program"}'


@pytest.mark.parametrize("told", ["yes", "[1]", '{"image_size": 7}', "{"])
def test_metadata_of_others_that_have_our_name_are_not_ours(told, resnet18, tmp_path):
    weights = read_encoder(resnet18)[0].backbone.state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "x.safetensors", {"export": told})
    assert load(tmp_path / "x.safetensors")[1].size == 224


def test_a_link_is_not_replaced(run, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(MocoError, match="is a link: name the folder it leads to"):
        export(run, "torchvision", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


def test_what_fails_leaves_not_even_the_folders_above_and_the_other_formats_go_on(run, tmp_path, monkeypatch):
    def fails(parcel, folder):
        (folder / "half").write_text("done")
        raise MocoError("it gives other features")

    monkeypatch.setitem(FORMATS, "timm", replace(FORMATS["timm"], write=fails))
    with pytest.raises(MocoError, match="other features"):
        export(run, "timm", tmp_path / "new" / "deep" / "out")
    assert list(tmp_path.iterdir()) == []
    done, left = export_all(run, tmp_path / "all")
    assert left["timm"] == "it gives other features"
    assert {"torchvision", "safetensors", "onnx"} <= {one.format for one in done}
    assert not (tmp_path / "all" / "timm").exists()
    with pytest.raises(MocoError, match="looks like a file"):
        export_all(run, tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["torchvision", "timm", "safetensors", "huggingface"])
def test_an_export_opens_here_with_its_stride_size_and_normalisation(name, tmp_path):
    recipe = override(v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "half", "image_size": 48})
    recipe = replace(recipe, normalize=Normalize(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)))
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder.pt", build_encoder(replace(recipe.encoder, norm_group=None))[0], recipe, 1)
    done = export(tmp_path / "encoder.pt", name, tmp_path / "out")
    place = done.folder if name == "huggingface" else done.file
    if name == "safetensors":  # which says it itself
        place = done.file.rename(tmp_path / "alone.safetensors")
    encoder, preprocess = load(tmp_path / "encoder.pt")
    again, prepared = load(place)
    assert prepared == preprocess
    images = torch.rand(2, 3, 48, 48)
    torch.testing.assert_close(again(images), encoder(images), rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_finite_are_not_handed_over(resnet18, tmp_path):
    content = torch.load(resnet18, weights_only=True)
    content["encoder"]["backbone.layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(content, tmp_path / "encoder.pt")
    with pytest.raises(MocoError, match=r"1 tensors .* not finite \(layer2.0.conv1.weight\)"):
        export(tmp_path / "encoder.pt", "torchvision", tmp_path / "out")


def test_a_head_that_is_not_there_is_not_kept(tmp_path):
    with pytest.raises(MocoError, match="no projection head"):
        export("torchvision:resnet18", "torchvision", tmp_path / "out", head=True)


def test_random_weights_are_called_random(tmp_path):
    notes = Notes()
    export("torchvision:resnet18", "torchvision", tmp_path / "out", tell=notes)
    assert "torchvision:resnet18 names no weights" in notes.said[0]


def test_named_images_are_compared_on_and_must_be_readable(resnet18, digits_file, tmp_path):
    notes = Notes()
    export(resnet18, "torchvision", tmp_path / "out", data=digits_file, tell=notes)
    assert str(digits_file) in notes.said[0]
    with pytest.raises(MocoError, match="nowhere"):
        export(resnet18, "torchvision", tmp_path / "out", data=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "library"), [("onnx", "onnxruntime"), ("huggingface", "transformers"), ("timm", "timm")]
)
def test_a_library_that_is_missing_is_asked_for_in_one_sentence(name, library, run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MocoError, match=rf"needs {library}: pip install 'momentum-contrast\[export\]'"):
        export(run, name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
