"""Encoders of other libraries load whole or not at all."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from moco import MocoError, load
from moco.backbones import build_backbone
from moco.run.load import open_encoder

X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(3)
    return resnet18(num_classes=7).state_dict()


def expected(weights):
    net = resnet18(num_classes=7)
    net.load_state_dict(weights)
    net.fc = torch.nn.Identity()
    return net.eval()(X)


def official(weights, prefix):
    other = {k: torch.zeros_like(v) for k, v in weights.items()}
    return {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {f"{prefix}encoder_k.{k}": v for k, v in other.items()}
        | {f"{prefix}encoder_q.{k}": v for k, v in weights.items()}
        | {f"{prefix}queue": torch.zeros(7, 16), f"{prefix}queue_ptr": torch.zeros(1, dtype=torch.int64)},
        "optimizer": {},
    }


FORMS = {
    "official, DDP": lambda w: official(w, "module."),
    "official, one process": lambda w: official(w, ""),
    "plain": dict,
    "linear classifier": lambda w: {"state_dict": {f"module.{k}": v for k, v in w.items()}, "arch": "resnet18"},
    "v3": lambda w: {"state_dict": {f"module.base_encoder.{k}": v for k, v in w.items()}},
    "pycontrast": lambda w: {"model": {f"module.encoder.{k}": v for k, v in w.items()}, "epoch": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_files_of_other_libraries_give_the_query_encoder(form, weights, tmp_path):
    torch.save(FORMS[form](weights), tmp_path / "x.pth.tar")
    for path in (tmp_path / "x.pth.tar", f"torchvision:resnet18={tmp_path / 'x.pth.tar'}"):
        encoder, preprocess = load(path)
        assert torch.equal(encoder(X), expected(weights))
        assert not encoder.training
        assert preprocess.size == 224


def test_a_detectron2_pickle_gives_the_same_features(weights, tmp_path):
    named = {}
    for k, v in weights.items():
        for stage in range(1, 5):
            k = k.replace(f"layer{stage}.", f"res{stage + 1}.")
        for n in (1, 2):
            k = k.replace(f"bn{n}.", f"conv{n}.norm.")
        k = k.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        named[k if k.startswith("res") else f"stem.{k}"] = v.numpy()
    with (tmp_path / "x.pkl").open("wb") as file:
        pickle.dump({"model": named, "__author__": "MOCO", "matching_heuristics": True}, file)
    assert torch.equal(load(tmp_path / "x.pkl")[0](X), expected(weights))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": {"a": Evil(), "b": np.zeros(2)}}))
    with pytest.raises(MocoError, match=r"asks to call builtins\.print, which is not data but code"):
        load(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "layer2.0.bn1.weight"}, "1 tensors are missing"),
        (lambda w: w | {"layer2.0.adapter.weight": torch.zeros(3)}, "have no place"),
        (lambda w: w | {"layer2.0.bn1.weight": torch.zeros(3)}, "is \\(3,\\) in the file"),
        (lambda w: {"a.b": torch.zeros(3)}, "name it"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, says, weights, tmp_path):
    torch.save(change(dict(weights)), tmp_path / "x.pth")
    with pytest.raises(MocoError, match=says):
        load(tmp_path / "x.pth")


def test_another_architecture_and_a_missing_file_are_refused(weights, tmp_path):
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(MocoError, match="missing"):
        load(f"torchvision:resnet34={tmp_path / 'x.pth'}")
    with pytest.raises(MocoError, match="there is no"):
        load(tmp_path / "none.pth")


def test_depth_width_and_stem_are_read_off_the_tensors(tmp_path):
    net, _ = build_backbone("resnet10w8", "small")
    torch.save({f"backbone.{k}": v for k, v in net.state_dict().items()}, tmp_path / "x.pt")
    opened = open_encoder(tmp_path / "x.pt")
    assert "resnet10w8" in opened.about
    assert torch.equal(opened.backbone(X), net.eval()(X))
    assert not torch.equal(opened.untrained(0)(X), opened.backbone(X))


def test_library_models_are_random_and_repeatable_without_a_file():
    assert torch.equal(load("torchvision:resnet18")[0](X), load("torchvision:resnet18")[0](X))
    with pytest.raises(MocoError, match="no projection head"):
        load("torchvision:resnet18", features="head")
    with pytest.raises(MocoError, match="no whitened features: they are kept when a run ends"):
        load("torchvision:resnet18", features="whitened")


def test_the_small_transformer_of_v3_keeps_its_twelve_heads(tmp_path):
    timm = pytest.importorskip("timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = timm.create_model("vit_small_patch16_224", num_heads=12, num_classes=0)
    prefixed = {f"module.base_encoder.{k}": v for k, v in net.state_dict().items()}
    torch.save({"arch": "vit_small", "state_dict": prefixed}, tmp_path / "x.pth.tar")
    x = torch.randn(1, 3, 224, 224)
    assert torch.allclose(load(tmp_path / "x.pth.tar")[0](x), net.eval()(x))
    with pytest.raises(MocoError, match="12 heads"):
        load(f"timm:vit_small_patch16_224={tmp_path / 'x.pth.tar'}")
