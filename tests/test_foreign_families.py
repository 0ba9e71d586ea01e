"""Transformers, ConvNeXts and listed models: files of their libraries give the features of the library's own model."""

import json
import warnings

import pytest
import torch
from foreign_layouts import foreign, under
from foreign_transformers import VITS, vit
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from moco.errors import MocoError
from moco.foreign import transformers as transformers_of
from moco.foreign.architecture import shapes_alone
from moco.run.load import open_encoder

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")


def seen(path, x):
    opened = open_encoder(path)
    with torch.no_grad():
        return opened, opened.backbone(x)


def same(a, b):
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)


X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


@pytest.mark.parametrize("layout", VITS)
def test_transformers_of_any_size_are_read_off_their_shapes(layout, tmp_path):
    net = vit()
    torch.save(VITS[layout](net.state_dict()), tmp_path / "x.pth")
    _, found = seen(tmp_path / "x.pth", X)
    with torch.no_grad():
        assert same(found, net(X))


def test_i_jepa_s_encoder_is_taken_and_its_target_and_predictor_left(tmp_path):
    net = vit(class_token=False, global_pool="avg", fc_norm=False)
    w = net.state_dict()
    predictor = under("module.predictor_", {k: v for k, v in w.items() if k.startswith("blocks.")})
    content = {"encoder": under("module.", w), "predictor": predictor | {"module.mask_token": torch.zeros(1, 1, 32)}}
    content |= {"target_encoder": under("module.", {k: v + 1 for k, v in w.items()}), "opt": {}, "epoch": 300}
    torch.save(content, tmp_path / "x.pth")
    with torch.no_grad():
        assert same(seen(tmp_path / "x.pth", X)[1], net(X))


@pytest.mark.parametrize("kind", ["Beit", "Swin"])
def test_hugging_face_models_that_are_not_made_are_called_what_they_are(kind, tmp_path):
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 32}
    small = small if kind == "Beit" else {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "image_size": 32}
    config = getattr(transformers, f"{kind}Config")(**small)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    with pytest.raises(MocoError, match=f"holds Hugging Face's {'BEiT' if kind == 'Beit' else 'Swin'}"):
        open_encoder(tmp_path)


def test_dinov2_is_opened_with_its_scales_and_with_registers(tmp_path):
    """As published: the position of the class token apart, a mask token, registers, gated hidden layers."""
    plain = vit(patch_size=14, img_size=56, init_values=0.5)
    torch.save(plain.state_dict() | {"mask_token": torch.zeros(1, 64)}, tmp_path / "x.pth")
    x = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        assert same(seen(tmp_path / "x.pth", x)[1], plain(x))
    more = {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU, "mlp_ratio": 4}
    gated = vit(patch_size=14, img_size=56, init_values=0.5, reg_tokens=4, no_embed_class=True, **more)
    names, position = {}, 0.3
    for k, v in gated.state_dict().items():
        k = k.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3").replace("reg_token", "register_tokens")
        names[k] = v
    names["cls_token"] = names["cls_token"] - position
    names["pos_embed"] = torch.cat([torch.full((1, 1, 64), position), names["pos_embed"]], dim=1)
    torch.save(names | {"mask_token": torch.zeros(1, 64)}, tmp_path / "x.pth")
    with torch.no_grad():
        assert same(seen(tmp_path / "x.pth", x)[1], gated(x))


def test_the_published_sizes_have_the_names_of_timm(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    torch.save(net.state_dict(), tmp_path / "x.pth")
    opened = open_encoder(tmp_path / "x.pth")
    assert opened.name == "timm:vit_tiny_patch16_224"
    assert opened.preprocess.size == 224


@pytest.mark.parametrize("kind", ["resnet", "vit", "convnext", "dinov2"])
@pytest.mark.parametrize("with_head", [False, True])
def test_hugging_face_folders_give_the_features_of_its_own_model(kind, with_head, tmp_path):
    torch.manual_seed(0)
    net, pooled = hugging_face(kind, with_head)
    net.eval().save_pretrained(tmp_path / "model")
    size = '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"height": 32, "width": 32}}'
    (tmp_path / "model" / "preprocessor_config.json").write_text(size)
    opened, found = seen(tmp_path / "model", X)
    with torch.no_grad():
        assert same(found, pooled(net, X))
    assert opened.preprocess.size == 32
    assert opened.preprocess.normalize.mean == (0.5, 0.5, 0.5)


def hugging_face(kind, with_head):
    """A small model of the library, and what its pooled features are."""
    t = transformers
    wide = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
    made = {
        "resnet": (t.ResNetConfig, t.ResNetModel, t.ResNetForImageClassification),
        "vit": (t.ViTConfig, t.ViTModel, t.ViTForImageClassification),
        "convnext": (t.ConvNextConfig, t.ConvNextModel, t.ConvNextForImageClassification),
        "dinov2": (t.Dinov2Config, t.Dinov2Model, t.Dinov2ForImageClassification),
    }[kind]
    options = {
        "resnet": {"embedding_size": 16, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 2, 1, 1]},
        "vit": {**wide, "patch_size": 16, "intermediate_size": 256},
        "convnext": {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 2, 1]},
        "dinov2": {**wide, "patch_size": 16},
    }[kind]
    net = made[2 if with_head else 1](made[0](**options))
    for p in net.parameters():
        p.data.add_(0.05 * torch.randn_like(p))

    def pooled(net, x):
        inner = net.base_model if with_head else net
        out = inner(x)
        if kind in ("resnet", "convnext"):
            return out.pooler_output.flatten(1)
        return out.last_hidden_state[:, 0]

    return net, pooled


def test_settings_that_shapes_hide_are_refused(tmp_path):
    config = transformers.ResNetConfig(hidden_sizes=[8, 8, 8, 8], depths=[1] * 4, downsample_in_bottleneck=True)
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    with pytest.raises(MocoError, match="downsample_in_bottleneck is on"):
        open_encoder(tmp_path)


def small_convnext():
    torch.manual_seed(0)
    stages = [
        CNBlockConfig(16, 32, 1),
        CNBlockConfig(32, 64, 1),
        CNBlockConfig(64, 128, 2),
        CNBlockConfig(128, None, 1),
    ]
    net = ConvNeXt(stages, num_classes=5)
    for p in net.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return net.eval()


def convnext_by_its_authors(w):
    names = {}
    for k, v in w.items():
        parts = k.split(".")
        stage = int(parts[1]) if parts[0] == "features" else -1
        inner = {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"}
        if stage >= 0 and stage % 2 == 0:
            name = f"downsample_layers.{stage // 2}.{'.'.join(parts[2:])}"
        elif stage >= 0 and parts[3] == "layer_scale":
            name, v = f"stages.{stage // 2}.{parts[2]}.gamma", v.flatten()
        elif stage >= 0:
            name = f"stages.{stage // 2}.{parts[2]}.{inner[parts[4]]}.{parts[5]}"
        else:
            name = k.replace("classifier.0", "norm").replace("classifier.2", "head")
        names[name] = v
    return {"model": names}


@pytest.mark.parametrize("layout", [dict, convnext_by_its_authors])
def test_convnexts_of_any_size_are_read_off_their_shapes(layout, tmp_path):
    net = small_convnext()
    torch.save(layout(net.state_dict()), tmp_path / "x.pth")
    _, found = seen(tmp_path / "x.pth", X)
    net.classifier[2] = nn.Identity()
    with torch.no_grad():
        assert same(found, net(X))


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "wide_resnet50_2"])
def test_torchvisions_other_models_are_found_by_their_names(name, tmp_path):
    torch.manual_seed(0)
    net = models.get_model(name, weights=None).eval()
    torch.save({"state_dict": under("module.", net.state_dict())}, tmp_path / "x.pth")
    opened, found = seen(tmp_path / "x.pth", X)
    last = [n for n, m in net.named_modules() if isinstance(m, nn.Linear)][-1]
    net.set_submodule(last, nn.Identity())
    with torch.no_grad():
        assert torch.equal(found, net(X))
    assert opened.name == name


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto"])
def test_timms_models_are_found_by_their_names(name, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval()
    torch.save({"arch": name, "state_dict": net.state_dict()}, tmp_path / "x.pth")
    opened, found = seen(tmp_path / "x.pth", X)
    with torch.no_grad():
        assert torch.equal(found, net(X))
    assert opened.name == f"timm:{name}"


def test_a_file_that_names_its_architecture_in_an_object_is_still_found(tmp_path):
    net = vit()
    config = foreign("omegaconf.dictconfig", "DictConfig", _content={"arch": "vit_none_such"})
    torch.save({"model": net.state_dict(), "cfg": config}, tmp_path / "x.pth")
    assert "2 blocks, 64 wide" in open_encoder(tmp_path / "x.pth").about


@pytest.mark.parametrize(
    ("name", "dinov2"),
    [
        ("vit_small_patch16_224", 0),
        ("vit_base_patch8_224", 0),
        ("vit_huge_patch14_224", 0),
        ("vit_small_patch14_dinov2", 1),
    ],
)
def test_the_usual_transformers_have_the_name_and_the_heads_of_timm(name, dinov2):
    with shapes_alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = timm.create_model(name, num_classes=0)
    read = transformers_of.read({k: v.to("meta") for k, v in net.state_dict().items()})
    assert read.name == f"timm:{name}"
    assert read.size == (518 if dinov2 else 224)
    assert read.outline.blocks[0].attn.num_heads == net.blocks[0].attn.num_heads


@pytest.mark.parametrize("name", ["resnet18d", "efficientnet_b0"])
def test_timms_models_are_found_where_nothing_names_them_and_that_is_said(name, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval()
    torch.save({"backbone": net.state_dict()}, tmp_path / "x.pth")
    opened = open_encoder(tmp_path / "x.pth")
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert same(opened.backbone(x), net(x))
    assert any("timm:NAME=FILE says which" in note for note in opened.notes)


def test_a_folder_of_timm_names_its_model_and_its_normalisation(tmp_path):
    net = timm.create_model("resnet18d", num_classes=3).eval()
    told = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input_size": [3, 96, 96]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18d", "pretrained_cfg": told}))
    torch.save(net.state_dict(), tmp_path / "pytorch_model.bin")
    opened = open_encoder(tmp_path)
    assert opened.name == "timm:resnet18d"
    assert opened.preprocess.size == 96
    assert opened.preprocess.normalize.std == (0.25, 0.25, 0.25)


def test_a_transformer_with_parts_that_shapes_do_not_tell_is_no_plain_one():
    with shapes_alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("vit_base_patch16_clip_224", "vit_base_patch16_siglip_224", "deit_tiny_distilled_patch16_224"):
            net = timm.create_model(name, num_classes=0)
            assert transformers_of.read({k: v.to("meta") for k, v in net.state_dict().items()}) is None
