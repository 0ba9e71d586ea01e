"""A run starts from what others trained: what fits is taken, what does not is said, and an official run goes on."""

import copy
import math

import numpy as np
import pytest
import torch
from foreign_layouts import LAYOUTS, mlp, resnet, trunk, under
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from moco.commands.init import Beginning, read_init
from moco.commands.initialise import start_from_, weights_of
from moco.data.loader import Batch
from moco.device import place
from moco.errors import MocoError
from moco.foreign.parts import with_channels
from moco.machine import Machine
from moco.recipe import override, v2
from moco.shuffle import views_of
from moco.training import build_training, train_step

N, K, C, IMAGES, EPOCHS = 8, 24, 16, 32, 4
PER_EPOCH = IMAGES // N
M = 0.9
SMALL = {
    "encoder.backbone": "resnet10w64",
    "encoder.norm_group": None,
    "encoder.dim": C,
    "dictionary.size": K,
    "keys.m": M,
    "image_size": 32,
    "batch": N,
    "epochs": EPOCHS,
}


def begun(init=None, **changes):
    """A training, what was said, and what was recorded."""
    recipe = override(v2(), SMALL | changes)
    t = build_training(recipe, IMAGES, place(Machine(device="cpu", precision="fp32", threads=1)))
    said = []
    record = start_from_(t, init, said.append) if init is not None else {}
    return t, said, record


def batch(step):
    pixels = torch.randint(0, 256, (N, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
    epoch, at = divmod(step, PER_EPOCH)
    return Batch(pixels, np.full((N, 2), 40), np.arange(N) + N * at, epoch, {})


class Builder(nn.Module):
    """The official builder on one process: the key encoder is updated before it encodes, keys are enqueued after."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.encoder_q = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=C)
        self.encoder_q.fc = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), self.encoder_q.fc)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(C, K), dim=0))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def forward(self, im_q, im_k):
        q = F.normalize(self.encoder_q(im_q), dim=1)
        with torch.no_grad():
            for p_q, p_k in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
                p_k.data = p_k.data * M + p_q.data * (1 - M)
            k = F.normalize(self.encoder_k(im_k), dim=1)
        positive = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", q, self.queue.clone().detach())
        at = int(self.queue_ptr)
        self.queue[:, at : at + N] = k.T
        self.queue_ptr[0] = (at + N) % K
        return torch.cat([positive, negative], dim=1) / 0.2


def official_step(net, solver, views, epoch):
    for group in solver.param_groups:
        group["lr"] = 0.03 * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))
    loss = F.cross_entropy(net(*views), torch.zeros(N, dtype=torch.long))
    solver.zero_grad()
    loss.backward()
    solver.step()
    return float(loss.detach())


def official_checkpoint(path, steps):
    """The official arithmetic for so many steps, saved as main_moco.py does it; the net and its solver."""
    t, _, _ = begun()
    net = Builder().train()
    solver = torch.optim.SGD(net.parameters(), 0.03, momentum=0.9, weight_decay=1e-4)
    for step in range(steps):
        official_step(net, solver, views_of(t.views, t.placement, batch(step), 1), step // PER_EPOCH)
    names = under("module.", net.state_dict())
    content = {"epoch": steps // PER_EPOCH, "arch": "resnet18", "state_dict": names, "optimizer": solver.state_dict()}
    torch.save(content, path)
    return net, solver


def test_an_official_checkpoint_goes_on_with_the_official_arithmetic(tmp_path):
    net, solver = official_checkpoint(tmp_path / "checkpoint_0001.pth.tar", 2 * PER_EPOCH)
    t, said, record = begun(read_init(str(tmp_path / "checkpoint_0001.pth.tar")))
    assert t.step == 2 * PER_EPOCH
    assert int(t.dictionary.pointer) == int(net.queue_ptr) == 2 * PER_EPOCH * N % K
    assert "going on as the run it was, at epoch 3 (step 8)" in said[0]
    assert "the solver" in record["taken"]
    for step in range(2 * PER_EPOCH, 2 * PER_EPOCH + 6):
        views = views_of(t.views, t.placement, batch(step), 1)
        official = official_step(net, solver, views, step // PER_EPOCH)
        assert float(train_step(t, batch(step)).loss) == pytest.approx(official, rel=1e-5)
    assert torch.allclose(t.dictionary.keys, net.queue.T, atol=1e-5)
    assert int(t.dictionary.pointer) == int(net.queue_ptr)
    mine = t.model.query_encoder.state_dict()
    for name, tensor in net.encoder_q.state_dict().items():
        ours = f"head.{name[3:]}" if name.startswith("fc.") else f"backbone.{name}"
        assert torch.allclose(mine[ours].float(), tensor.float(), rtol=1e-4, atol=1e-5), name


def test_a_trial_takes_the_weights_of_an_official_run_and_begins_at_step_0(tmp_path):
    net, _ = official_checkpoint(tmp_path / "x.pth.tar", 2 * PER_EPOCH)
    first = weights_of(Beginning(read_init(str(tmp_path / "x.pth.tar")), {}))
    t, _, _ = begun()
    first(t)
    assert t.step == 0
    mine, theirs = t.model.query_encoder.state_dict(), net.encoder_q.state_dict()
    assert torch.equal(mine["backbone.conv1.weight"], theirs["conv1.weight"])
    assert weights_of(Beginning(None, {})) is None


def test_the_end_of_an_official_run_has_nothing_left_to_do(tmp_path):
    net, solver = official_checkpoint(tmp_path / "x.pth.tar", 0)
    content = torch.load(tmp_path / "x.pth.tar", weights_only=False) | {"epoch": EPOCHS}
    solver.zero_grad()
    content["optimizer"]["state"] = {
        n: {"momentum_buffer": torch.zeros_like(p)} for n, p in enumerate(net.encoder_q.parameters())
    }
    torch.save(content, tmp_path / "x.pth.tar")
    with pytest.raises(MocoError, match="is the end of epoch 4 and --epochs is 4"):
        begun(read_init(str(tmp_path / "x.pth.tar")))
    t, said, _ = begun(read_init(f"{tmp_path}/x.pth.tar#module.encoder_q"))
    assert t.step == 0
    assert "taken the backbone (resnet10w64), the head (state_dict.module.encoder_q.fc)" in said[0]


def test_a_state_that_does_not_fit_the_recipe_is_not_gone_on_with_and_that_is_said(tmp_path):
    official_checkpoint(tmp_path / "x.pth.tar", PER_EPOCH)
    init = read_init(str(tmp_path / "x.pth.tar"))
    t, said, record = begun(init, **{"dictionary.size": 16})
    assert t.step == 0
    assert "not gone on with: its queue has 24 keys, --dictionary.size is 16" in said[0]
    assert record["taken"] == ["the backbone (resnet10w64)", "the head (state_dict.module.encoder_q.fc)"]
    assert record["left"] == ["no queue of 16 x 16 in it: the queue is random"]


def test_what_a_file_says_becomes_the_recipe_but_for_what_the_user_set(tmp_path):
    official_checkpoint(tmp_path / "x.pth.tar", PER_EPOCH)
    init = read_init(str(tmp_path / "x.pth.tar"))
    fields = init.fields(v2(), {"dictionary.size": 99})
    assert fields == {
        "encoder.backbone": "resnet10w64", "encoder.stem": "imagenet", "encoder.dim": C, "encoder.head_layers": 2,
    }  # fmt: skip
    assert init.fields("auto", {}) == {"encoder.backbone": "resnet10w64", "encoder.stem": "imagenet"}


@pytest.mark.parametrize("layout", ["plain torchvision", "lightly", "DINO, whole", "detectron2"])
def test_a_backbone_alone_is_taken_and_the_rest_is_random(layout, tmp_path):
    weights = resnet().state_dict()
    content = LAYOUTS[layout](weights)
    torch.save(content, tmp_path / "x.pth")
    t, said, _ = begun(read_init(str(tmp_path / "x.pth")))
    for name, tensor in trunk(weights).items():
        assert torch.equal(t.model.query_encoder.backbone.state_dict()[name], tensor)
        assert torch.equal(t.model.key_encoder.backbone.state_dict()[name], tensor)
    assert "no head of this shape in it: the head is random" in said[0]
    torch.save({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, tmp_path / "x.pth")
    _, said, _ = begun(read_init(str(tmp_path / "x.pth")))
    assert "the backbone (resnet10w64); its weights are float16, used as float32" in said[0]
    before, _, _ = begun()
    assert torch.equal(before.model.query_encoder.head[0].weight, t.model.query_encoder.head[0].weight)


def test_a_head_and_its_queue_are_taken_where_they_fit(tmp_path):
    """mmselfsup's layout: the head is a neck beside the backbone, the queue C x K."""
    weights = trunk(resnet().state_dict())
    queue = F.normalize(torch.randn(C, K), dim=0)
    neck = {"0.weight": torch.randn(512, 512), "0.bias": torch.randn(512)}
    neck |= {"2.weight": torch.randn(C, 512), "2.bias": torch.randn(C)}
    names = under("encoder_q.0.", weights) | under("encoder_q.1.mlp.", neck)
    names |= under("encoder_k.0.", weights) | under("encoder_k.1.mlp.", {k: v + 1 for k, v in neck.items()})
    names |= {"queue": queue, "queue_ptr": torch.tensor([9])}
    torch.save({"meta": {}, "state_dict": names}, tmp_path / "x.pth")
    t, said, record = begun(read_init(str(tmp_path / "x.pth")))
    assert torch.equal(t.model.query_encoder.head[2].bias, neck["2.bias"])
    assert torch.equal(t.dictionary.keys, queue.T)
    assert int(t.dictionary.pointer) == 9
    assert record["taken"][1:] == ["the head (state_dict.encoder_q.1.mlp)", "the queue (state_dict.queue)"]
    assert "the queue (state_dict.queue)" in said[0]


def test_another_architecture_is_refused_with_what_to_leave_out(tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"is resnet10w64 .* this run's is resnet10w8 .* leave out --encoder\.backbone"):
        begun(read_init(str(tmp_path / "x.pth")), **{"encoder.backbone": "resnet10w8"})


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_a_first_convolution_is_adapted_as_timm_does_it(channels):
    timm = pytest.importorskip("timm")
    weight = torch.randn(8, 3, 7, 7)
    expected = timm.models.adapt_input_conv(channels, weight.clone())
    assert torch.equal(with_channels(weight, channels), expected)


def test_other_channels_are_adapted_and_said(tmp_path):
    """A run on five bands from weights of RGB; and from one of 13 bands to RGB, which nobody can adapt."""
    torch.save(resnet().state_dict(), tmp_path / "x.pth")
    t, _, _ = begun()
    t.model.query_encoder.backbone.conv1 = nn.Conv2d(5, 64, 7, 2, 3, bias=False)
    t.model.key_encoder = copy.deepcopy(t.model.query_encoder)
    said = []
    start_from_(t, read_init(str(tmp_path / "x.pth")), said.append)
    assert "first convolution adapted from 3 to 5 channels, as timm does" in said[0]
    adapted = with_channels(resnet().state_dict()["conv1.weight"], 5)
    assert torch.equal(t.model.query_encoder.backbone.conv1.weight, adapted)
    torch.save(resnet(channels=13).state_dict(), tmp_path / "x.pth")
    with pytest.raises(MocoError, match="takes 13 channels and this run's 3: only one of 3 can be adapted"):
        begun(read_init(str(tmp_path / "x.pth")))


def test_heads_of_another_make_do_not_count_as_official(tmp_path):
    content = LAYOUTS["official v2"](resnet().state_dict())
    content["state_dict"] |= under("module.encoder_q.", mlp("fc", norm=True))
    torch.save(content, tmp_path / "x.pth")
    assert read_init(str(tmp_path / "x.pth")).fields(v2(), {})["encoder.backbone"] == "resnet10w64"
