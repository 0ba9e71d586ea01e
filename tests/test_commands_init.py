"""`--init` is read once, written down, and never read again; what cannot be started from is said at once."""

import json
import shutil
import urllib.error

import numpy as np
import pytest
import torch
from foreign_layouts import resnet

from moco.commands.init import read_init
from moco.commands.pretrain import pretrain
from moco.errors import MocoError
from moco.machine import Machine
from moco.recipe import override, v2
from moco.run.load import open_encoder

CPU = Machine(device="cpu", precision="fp32", compile="off", workers=1, threads=1)
SMALL = {
    "encoder.norm_group": 8,
    "encoder.dim": 16,
    "dictionary.size": 64,
    "image_size": 16,
    "batch": 32,
    "epochs": 2,
    "knn.k": 5,
}


class Heard:
    """What was told, as lines."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def __getattr__(self, name):
        return lambda *a, **k: lambda *b: None


def trained(data, out, init=None, until=None, **changes):
    heard = Heard()
    pretrain(data, out, v2(), init=init, until=until, machine=CPU, changes=SMALL | changes, tell=heard)
    return heard.lines


@pytest.fixture
def images(digits, tmp_path):
    np.save(tmp_path / "digits.npy", digits[0][:96])
    return tmp_path / "digits.npy"


@pytest.fixture
def weights(tmp_path):
    torch.save(
        {"state_dict": {f"module.encoder_q.{k}": v for k, v in resnet().state_dict().items()}}, tmp_path / "x.pth"
    )
    return tmp_path / "x.pth"


def test_a_run_starts_from_a_file_once_and_keeps_its_name_and_digest(images, weights, tmp_path):
    said = trained(images, tmp_path / "run", init=str(weights), until=1)
    assert any("taken the backbone (resnet10w64)" in line for line in said)
    kept = json.loads((tmp_path / "run" / "init.json").read_text())
    assert kept["init"] == str(weights)
    assert kept["digest"].startswith("sha256:")
    assert kept["fields"] == {"encoder.backbone": "resnet10w64", "encoder.stem": "imagenet"}
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["encoder"]["backbone"] == "resnet10w64"
    weights.unlink()
    said = trained(images, tmp_path / "run", init=str(weights))
    assert not any("taken" in line for line in said)
    assert any("going on from step 3 of 6" in line for line in said)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt")["step"] == 6


def test_a_run_that_stopped_ends_as_one_that_did_not(images, weights, tmp_path):
    trained(images, tmp_path / "whole", init=str(weights))
    trained(images, tmp_path / "parts", init=str(weights), until=1)
    trained(images, tmp_path / "parts")
    ends = [torch.load(tmp_path / name / "encoder.pt")["encoder"] for name in ("whole", "parts")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_checkpoint_that_was_kept_is_opened_by_the_recipe_of_its_run(images, tmp_path):
    trained(images, tmp_path / "run", **{"encoder.backbone": "resnet10w8", "encoder.stem": "half"})
    whole = open_encoder(tmp_path / "run")
    kept = open_encoder(tmp_path / "run" / "checkpoints" / "last.pt")
    assert kept.stem == "half"
    x = torch.randn(2, kept.channels, 16, 16)
    with torch.no_grad():
        assert torch.equal(kept.backbone(x), whole.backbone(x))
        assert torch.equal(kept.whole(x), whole.whole(x))


def test_a_run_goes_on_only_from_what_it_started_from(images, weights, tmp_path):
    trained(images, tmp_path / "run", init=str(weights), until=1)
    torch.save(resnet(seed=1).state_dict(), tmp_path / "y.pth")
    with pytest.raises(MocoError, match=r"was started from --init .*x\.pth, not .*y\.pth"):
        trained(images, tmp_path / "run", init=str(tmp_path / "y.pth"))
    shutil.copy(tmp_path / "y.pth", weights)
    with pytest.raises(MocoError, match="has changed since"):
        trained(images, tmp_path / "run", init=str(weights))
    trained(images, tmp_path / "plain", until=1, **{"encoder.backbone": "resnet10w8", "encoder.stem": "small"})
    with pytest.raises(MocoError, match="was started without --init"):
        trained(images, tmp_path / "plain", init=str(weights), **{"encoder.backbone": "resnet10w8"})


def test_a_run_starts_from_a_run_with_head_and_queue(images, tmp_path):
    small = {"encoder.backbone": "resnet10w8", "encoder.stem": "small"}
    trained(images, tmp_path / "one", **small)
    said = trained(images, tmp_path / "two", init=str(tmp_path / "one"))
    assert any("taken the backbone (resnet10w8), the head (head), the queue (dictionary.keys)" in line for line in said)
    assert "With and without --init" in (tmp_path / "two" / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nothing.pth", "--init nothing.pth: there is no such file or run"),
        ("timm:no_such_net", "timm has no such model"),
        ("torchvision:resnet18=nothing.pth", "there is no file nothing.pth"),
    ],
)
def test_what_is_not_there_is_said_before_the_images_are_read(given, says, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MocoError, match=says):
        trained(images, tmp_path / "run", init=given)
    assert not (tmp_path / "run").exists()


def test_a_hub_out_of_reach_says_which_file_to_give(monkeypatch):
    def no_route(*arguments, **named):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_route)
    address = (
        r"fetch https://download\.pytorch\.org/models/resnet18-.*\.pth .* give the file: torchvision:resnet18=FILE"
    )
    with pytest.raises(MocoError, match=rf"no route to host.*{address}"):
        read_init("torchvision:resnet18")
    timm = pytest.importorskip("timm")
    monkeypatch.setattr(timm, "create_model", no_route)
    address = r"fetch https://huggingface\.co/timm/resnet18\.\w+/resolve/main/model\.safetensors"
    with pytest.raises(MocoError, match=rf"no route to host.*{address}.*give the file: timm:resnet18=FILE"):
        read_init("timm:resnet18")


def test_weights_of_a_hub_are_taken_by_the_names_of_the_library(monkeypatch):
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet18", num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, num_classes: net)
    init = read_init("timm:resnet18")
    assert init.fields(override(v2(), SMALL), {})["encoder.backbone"] == "timm:resnet18"
    assert torch.equal(init.backbone["conv1.weight"], net.conv1.weight)
    assert init.digest.startswith("sha256:")


def test_a_net_that_no_recipe_can_name_is_refused(tmp_path):
    torch.save(resnet(blocks=(1, 2, 1, 1)).state_dict(), tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"a ResNet of 1-2-1-1 blocks, 64 channels wide has no name"):
        read_init(str(tmp_path / "x.pth")).fields(v2(), {})
