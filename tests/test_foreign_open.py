"""Files in the layouts of other libraries give exactly the features of the model that made the weights."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_layouts import LAYOUTS, features, other, resnet, solver, trunk, under, write
from foreign_others import OTHERS
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from moco.backbones import make_backbone
from moco.commands.embed import embed_images
from moco.errors import MocoError
from moco.machine import Machine
from moco.run.load import load, open_encoder

X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


@pytest.fixture(scope="module")
def net():
    return resnet()


@pytest.fixture(scope="module")
def expected(net):
    return features(net, X)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_gives_the_features_of_its_query_encoder(layout, net, expected, tmp_path):
    opened = open_encoder(write(tmp_path / "x.pth.tar", layout, net.state_dict()))
    with torch.no_grad():
        assert torch.equal(opened.backbone(X), expected)
    assert opened.name == "resnet10w64"
    assert opened.notes[0].startswith("taken: resnet10w64")


@pytest.mark.parametrize("layout", OTHERS)
def test_a_layout_that_no_rule_was_written_for_is_opened_too(layout, net, expected, tmp_path):
    torch.save(OTHERS[layout](net.state_dict()), tmp_path / "x.pth")
    with torch.no_grad():
        assert torch.equal(open_encoder(tmp_path / "x.pth").backbone(X), expected)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["visual.attnpool.positional_embedding", "visual.layer1.0.conv1.weight"], "CLIP's ResNet"),
        (["visual.transformer.resblocks.0.attn.in_proj_weight"], "CLIP's vision transformer"),
        (["student.backbone.rope_embed.periods"], "DINOv3's"),
        (["model.layers.0.downsample.reduction.weight"], "a Swin transformer by its authors' names"),
        (["Transformer/encoderblock_0/LayerNorm_0/scale"], "a vision transformer of JAX"),
    ],
)
def test_networks_that_are_not_made_here_are_called_what_they_are(names, what, tmp_path):
    torch.save({name: torch.zeros(4, 4) for name in names}, tmp_path / "x.pth")
    with pytest.raises(MocoError, match=f"x.pth holds {what}.*not made here"):
        open_encoder(tmp_path / "x.pth")


def test_another_precision_is_used_as_float32_and_said(net, expected, tmp_path):
    for kind in (torch.float16, torch.bfloat16):
        half = {k: v.to(kind) if v.is_floating_point() else v for k, v in net.state_dict().items()}
        torch.save(half, tmp_path / "x.pth")
        opened = open_encoder(tmp_path / "x.pth")
        assert f"its weights are {str(kind)[6:]}, used as float32" in opened.notes
        with torch.no_grad():
            assert torch.allclose(opened.backbone(X), expected, atol=0.03)


def test_files_of_before_torch_1_6_are_opened(net, expected, tmp_path):
    content = LAYOUTS["official v1, resumable"](net.state_dict())
    torch.save(content, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=False)
    with torch.no_grad():
        assert torch.equal(open_encoder(tmp_path / "x.pth.tar").backbone(X), expected)


def test_safetensors_and_numpy_archives_are_opened(net, expected, tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    save(dict(net.state_dict()), tmp_path / "x.safetensors")
    np.savez(tmp_path / "x.npz", **{k: v.numpy() for k, v in net.state_dict().items()})
    for name in ("x.safetensors", "x.npz"):
        with torch.no_grad():
            assert torch.equal(open_encoder(tmp_path / name).backbone(X), expected)


@pytest.mark.parametrize("small", [False, True])
def test_bottlenecks_and_groups_are_read_off_the_shapes(small, tmp_path):
    net = resnet(block=Bottleneck, small=small)
    grouped = ResNeXt()
    for one in (net, grouped):
        torch.save({"model": under("module.backbone.", trunk(one.state_dict()))}, tmp_path / "x.pth")
        with torch.no_grad():
            assert torch.equal(open_encoder(tmp_path / "x.pth").backbone(X), features(one, X))


def test_more_than_three_channels_are_opened_and_said(tmp_path):
    net = resnet(channels=13)
    torch.save(net.state_dict(), tmp_path / "x.pth")  # as torchgeo publishes its weights of Sentinel-2
    x = torch.randn(1, 13, 32, 32)
    opened = open_encoder(tmp_path / "x.pth")
    with torch.no_grad():
        assert torch.equal(opened.backbone(x), features(net, x))
    assert opened.channels == 13
    assert any("takes 13 channels" in note for note in opened.notes)


def test_cmc_has_two_encoders_of_equal_right_and_one_is_asked_for(tmp_path):
    torch.manual_seed(0)
    halves = {"l_to_ab": Half(1).eval(), "ab_to_l": Half(2).eval()}
    names = {}
    for part, half in halves.items():
        names |= under(f"module.{part}.", half.state_dict())
    torch.save({"opt": argparse.Namespace(nce_k=4096), "model": names, "epoch": 240}, tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"2 backbones.*#model\.module\.l_to_ab .*name one: .*x\.pth#PREFIX"):
        open_encoder(tmp_path / "x.pth")
    for part, half in halves.items():
        x = torch.randn(2, 1 if part == "l_to_ab" else 2, 32, 32)
        with torch.no_grad():
            assert torch.equal(open_encoder(f"{tmp_path}/x.pth#{part}").backbone(x), features(half, x))


def test_the_other_encoder_is_taken_where_it_is_asked_for(net, tmp_path):
    file = write(tmp_path / "x.pth", "official v1, resumable", net.state_dict())
    opened = open_encoder(f"{file}#module.encoder_k")
    assert bool((opened.backbone.conv1.weight == 0.5).all())
    with pytest.raises(MocoError, match=r"#encoder_z is no backbone of it; there are .*encoder_q"):
        open_encoder(f"{file}#encoder_z")


def test_what_was_left_aside_is_one_line(net, tmp_path):
    opened = open_encoder(write(tmp_path / "x.pth", "official v2", net.state_dict()))
    assert opened.notes == (
        "taken: resnet10w64, state_dict.module.encoder_q; left aside: queue, queue_ptr, fc (3 tensors), "
        "encoder_k (63 tensors), optimizer (39 tensors)",
    )


def test_solo_learns_padding_of_the_small_stem_is_kept(tmp_path):
    net = resnet(small=True)
    torch.save(LAYOUTS["solo-learn"](net.state_dict()) | {"hyper_parameters": {}}, tmp_path / "x.ckpt")
    net.conv1.padding = (2, 2)
    opened = open_encoder(tmp_path / "x.ckpt")
    with torch.no_grad():
        assert torch.equal(opened.backbone(X), features(net, X))
    assert "padding of 2" in opened.notes[0]


class ResNeXt(ResNet):
    """Four groups of two channels."""

    def __init__(self):
        super().__init__(Bottleneck, [1, 1, 1, 1], groups=4, width_per_group=2)
        self.eval()


class Half(ResNet):
    """CMC's: a first convolution of 64, and everything behind it half as wide."""

    def __init__(self, channels):
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=16)
        self.conv1 = torch.nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.inplanes = 64
        for stage in range(4):
            made = self._make_layer(BasicBlock, 32 << stage, 1, stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", made)
        self.fc = torch.nn.Linear(256, 16)


def test_python_is_told_by_a_line_of_the_log(net, tmp_path, caplog):
    load(write(tmp_path / "x.pth", "official v2", net.state_dict()))
    assert [record.getMessage().split(": ", 1)[1][:44] for record in caplog.records] == [
        "taken: resnet10w64, state_dict.module.encode"
    ]


def test_images_are_not_shown_to_an_encoder_of_thirteen_channels(tmp_path):
    torch.save(resnet(channels=13).state_dict(), tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"takes images of 13 channels, and images are opened in 3"):
        embed_images(tmp_path / "x.pth", "demo", machine=Machine(device="cpu"))


PEAKS = """
import re, sys
from pathlib import Path
from moco.run.load import open_encoder
def kib(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
for file in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    before = kib("VmRSS")
    open_encoder(file)
    print(kib("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts the peak")
def test_opening_takes_less_memory_than_the_file_and_a_third(tmp_path):
    """As it is with a resumable checkpoint of 1 GB (benchmarks/opening.py), of which a third is the encoder."""
    wide = make_backbone("resnet10w96").state_dict()  # 42 MiB, as are the key encoder and the solver
    names = under("module.encoder_q.", wide) | under("module.encoder_k.", other(wide))
    content = {"epoch": 1, "state_dict": names, "optimizer": solver(wide)}
    files = [tmp_path / "new.pth", tmp_path / "old.pth"]
    for file, zipped in zip(files, (True, False), strict=True):
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
    done = subprocess.run([sys.executable, "-c", PEAKS, *map(str, files)], capture_output=True, check=True)
    for file, peak in zip(files, done.stdout.split(), strict=True):
        assert 0 < 1024 * int(peak) < 1.3 * file.stat().st_size
