"""The linear protocol against a plain implementation of the official script, on the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.data.open import open_source
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.protocols.linear import Linear, crop_views, linear
from moco.protocols.linear_quick import quick_linear
from moco.protocols.probe import Heads, Judged
from moco.recipe import Normalize


class Small(nn.Module):
    """A backbone with BatchNorm, so that a wrong mode shows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12)
        self.norm.running_mean.normal_()

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(self.norm(self.conv(x)).relu(), 4).flatten(1)


@pytest.fixture
def parts(digits, tmp_path):
    pixels, labels = digits
    np.save(tmp_path / "x.npy", pixels[:300])
    memory, _ = load_memory(open_source(tmp_path / "x.npy"), 1)
    preprocess = Preprocess(16, Normalize())
    test = torch.stack([preprocess(np.repeat(p[..., None], 3, axis=2)) for p in pixels[300:500]])
    return MemoryLoader(memory), labels[:300], preprocess, test, labels[300:500]


PLACEMENT = place(Machine(device="cpu", precision="fp32", threads=1))


@pytest.mark.parametrize("lr", [30.0, 3.0])
def test_the_protocol_is_the_official_script_on_the_same_crops(lr, parts):
    """Frozen backbone in eval mode, SGD 0.9 without decay, a tenth at 60 and 80 % of the epochs, N(0, 0.01)."""
    loader, labels, preprocess, test, test_labels = parts
    settings = Linear(lrs=(1.0, lr), epochs=5, batch=64)
    backbone = Small().eval()
    views = crop_views(preprocess, settings.seed)
    with torch.no_grad():
        judged = Judged(backbone(test), test_labels)
    ours = linear(backbone, loader, views, labels, judged, 10, settings, PLACEMENT)[1]

    fc = nn.Linear(192, 10)
    with torch.no_grad():
        fc.weight.copy_(Heads(1, 192, 10, settings.seed).weight[0])
        fc.bias.zero_()
    optimizer = torch.optim.SGD(fc.parameters(), lr * 64 / 256, momentum=0.9, weight_decay=0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 4], gamma=0.1)
    accuracies = []
    for epoch in range(5):
        plan = Plan(300, 64, 5, settings.seed)
        for batch in list(loader.batches(plan, 0))[epoch * 4 : epoch * 4 + 4]:
            x = views(batch.pixels, batch.sizes, batch.index, epoch)[0]
            with torch.no_grad():
                features = backbone(x)
            loss = nn.functional.cross_entropy(fc(features), torch.from_numpy(labels[batch.index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        logits = fc(judged.features)
        accuracies.append((logits.argmax(dim=1) == torch.from_numpy(test_labels)).float().mean().item())
    assert ours.last == pytest.approx(accuracies[-1], abs=0.011)
    assert ours.best == pytest.approx(max(accuracies), abs=0.011)
    top5 = (logits.topk(5, dim=1).indices == torch.from_numpy(test_labels)[:, None]).any(dim=1).float().mean()
    assert ours.top5 == pytest.approx(top5.item(), abs=0.011)
    assert ours.last > 0.15, "better than chance, or the comparison says little"


def test_a_classifier_starts_from_small_normal_weights_and_no_bias():
    heads = Heads(2, 2000, 10, seed=0)
    assert heads.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert torch.equal(heads.weight[0], heads.weight[1])
    assert not heads.bias.any()


def test_a_backbone_in_training_mode_is_put_in_eval_mode_and_one_that_changes_all_the_same_is_refused(parts):
    loader, labels, preprocess, test, test_labels = parts
    settings = Linear(epochs=1, batch=64)
    views = crop_views(preprocess, 0)
    backbone = Small().train()
    judged = Judged(torch.zeros(len(test), 192), test_labels)
    linear(backbone, loader, views, labels, judged, 10, settings, PLACEMENT)
    assert not backbone.training

    class Stubborn(Small):
        def forward(self, x):
            self.norm.training = True
            return super().forward(x)

    with pytest.raises(MocoError, match="frozen encoder changed"):
        linear(Stubborn(), loader, views, labels, judged, 10, settings, PLACEMENT)


def test_several_rates_give_what_each_gives_alone(parts):
    *_, test, test_labels = parts
    features = test.flatten(1)[:, :50]
    judged = Judged(features[100:], test_labels[100:])
    both = quick_linear(features[:100], test_labels[:100], judged, 10, Linear(lrs=(0.3, 30.0), epochs=3, batch=32))
    for i, lr in enumerate((0.3, 30.0)):
        alone = quick_linear(features[:100], test_labels[:100], judged, 10, Linear(lrs=(lr,), epochs=3, batch=32))
        assert both[i] == alone[0]


def test_crops_are_the_official_ones(parts):
    preprocess = parts[2]
    (view,) = crop_views(preprocess, 0).views
    assert (view.scale, view.flip, view.jitter.p, view.gray, view.blur.p) == ((0.08, 1.0), 0.5, 0.0, 0.0, 0.0)
    assert view.solarize == 0
