"""A file whose names and shapes are a backbone's and that says otherwise is refused; what nothing says is told."""

import pickle

import pytest
import torch
from foreign_layouts import detectron2_detector, mlp, resnet, trunk, under
from foreign_transformers import mmpretrain, vit

from moco.errors import MocoError
from moco.run.load import open_encoder
from moco.vit import sines_and_cosines

X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


def same(a, b):
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def seen(path, x):
    opened = open_encoder(path)
    with torch.no_grad():
        return opened, opened.backbone(x)


def folded(w, variance):
    """Every BatchNorm as it is before training, and scales that are not."""
    found = dict(w)
    for name in w:
        if name.endswith("running_mean"):
            found[name] = torch.zeros_like(w[name])
        elif name.endswith("running_var"):
            found[name] = torch.full_like(w[name], variance)
        elif name.endswith(("bn1.weight", "bn2.weight")):
            found[name] = torch.rand_like(w[name])
    return found


def test_detectors_that_began_from_caffe2s_weights_are_refused(tmp_path):
    """Detectron2's R_50 of its zoo: FrozenBatchNorm2d keeps the statistics that it has without any (1 - 1e-5)."""
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(detectron2_detector(folded(resnet().state_dict(), 1 - 1e-5))))
    with pytest.raises(MocoError, match=r"folded into the scales.*strides in the first convolution.*BGR"):
        open_encoder(tmp_path / "x.pkl")
    assert open_encoder(f"torchvision:resnet10w64={tmp_path / 'x.pkl'}").channels == 3


def test_openmmlabs_style_of_caffe_is_refused(tmp_path):
    names = {"meta": {"config": "backbone=dict(type='ResNet', depth=50, style='caffe')"}}
    torch.save(names | {"state_dict": under("backbone.", trunk(resnet().state_dict()))}, tmp_path / "x.pth")
    with pytest.raises(MocoError, match="its configuration says style='caffe'"):
        open_encoder(tmp_path / "x.pth")


def test_a_batch_norm_that_saw_no_image_is_told(tmp_path):
    torch.save(folded(resnet().state_dict(), 1.0), tmp_path / "x.pth")
    assert any("has seen no image" in note for note in open_encoder(tmp_path / "x.pth").notes)
    torch.save(resnet().state_dict(), tmp_path / "x.pth")
    assert not any("has seen no image" in note for note in open_encoder(tmp_path / "x.pth").notes)


def test_a_first_convolution_of_three_pixels_says_which_stride_is_taken(tmp_path):
    torch.save(resnet(small=True).state_dict(), tmp_path / "x.pth")
    assert (
        "a stride of 1 is taken for its first convolution of 3x3, and no pooling"
        in open_encoder(tmp_path / "x.pth").notes
    )


def v3_small(heads, channels=3):
    """A ViT-S with the positions of MoCo v3, which are sines and cosines and stay so."""
    net = vit(embed_dim=384, num_heads=heads, in_chans=channels)
    net.pos_embed.data = sines_and_cosines(2, 384)
    return net


@pytest.mark.parametrize(
    ("layout", "heads", "channels"),
    [
        (
            lambda w: {"arch": "vit_small", "state_dict": under("module.base_encoder.", w) | mlp("module.predictor")},
            12,
            3,
        ),
        (lambda w: {"model": w}, 12, 3),  # by convert_to_deit.py
        (lambda w: {"state_dict": under("module.", w | {"head.weight": torch.zeros(9, 384)}), "best_acc1": 1.0}, 12, 3),
        (mmpretrain, 12, 3),
        (lambda w: {"state_dict": under("module.base_encoder.", w)}, 6, 13),  # SSL4EO-S12, which changed the heads
    ],
)
def test_heads_of_moco_v3s_vit_s_are_known_by_its_positions_wherever_it_lies(layout, heads, channels, tmp_path):
    net = v3_small(heads, channels)
    torch.save(layout(net.state_dict()), tmp_path / "x.pth")
    x = torch.randn(2, channels, 32, 32)
    opened, found = seen(tmp_path / "x.pth", x)
    with torch.no_grad():
        assert same(found, net(x))
    assert any(f"{heads} heads are taken" in note and "vit2w384p16s32hN=FILE" in note for note in opened.notes)


def test_heads_that_nothing_tells_are_told_by_a_name_before_the_file(tmp_path):
    net = vit(embed_dim=384, num_heads=12)  # as SLIP's
    torch.save(under("module.visual.", net.state_dict()), tmp_path / "x.pth")
    opened, found = seen(f"vit2w384p16s32h12={tmp_path / 'x.pth'}", X)
    with torch.no_grad():
        assert same(found, net(X))
    assert opened.preprocess.size == 32
    assert opened.name == "vit2w384p16s32h12"


def test_heads_and_epsilon_of_hugging_faces_settings_are_taken(tmp_path):
    transformers = pytest.importorskip("transformers")
    wide = {"hidden_size": 128, "num_hidden_layers": 2, "image_size": 32, "patch_size": 16, "num_attention_heads": 4}
    torch.manual_seed(0)
    net = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**wide)).eval()
    net.save_pretrained(tmp_path / "registers")
    other = transformers.ViTModel(transformers.ViTConfig(**wide, intermediate_size=256, layer_norm_eps=1e-3)).eval()
    other.save_pretrained(tmp_path / "vit")
    for folder, one in (("registers", net), ("vit", other)):
        with torch.no_grad():
            assert same(seen(tmp_path / folder, X)[1], one(X).last_hidden_state[:, 0])
