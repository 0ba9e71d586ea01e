"""Fine-tuning against a plain implementation on the same order and crops, and what must not happen beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from moco.data.array import Array
from moco.data.labelled import Labelled
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.device import place
from moco.embed import Prepared
from moco.errors import MocoError
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.protocols.labels import PerClass, draw_labels, name_keys
from moco.protocols.lesson import Exam, Lesson
from moco.protocols.linear import crop_views
from moco.protocols.probe import Heads
from moco.protocols.tuning import PRESETS, DivergedError, Tuning, choose_rate, tune
from moco.recipe import Normalize

PLACEMENT = place(Machine(device="cpu", precision="fp32", threads=1))
QUICK = Tuning(epochs=10, steps=0, batch=64)


class Small(nn.Module):
    """A backbone with BatchNorm and dropout, so that a wrong mode shows."""

    def __init__(self, p=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.drop = nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.Dropout(p)

    def forward(self, x):
        return self.drop(nn.functional.adaptive_avg_pool2d(self.norm(self.conv(x)).relu(), 4).flatten(1))


@pytest.fixture
def parts(digits, tmp_path):
    pixels, labels = digits
    preprocess, views = (found := Preprocess(16, Normalize())), crop_views(found, 0)
    for name, part in (("train", slice(0, 200)), ("test", slice(200, 350))):
        np.save(tmp_path / f"{name}.npy", pixels[part])
    source = Array(str(tmp_path / "train.npy"))
    memory, _ = load_memory(source, 1)
    train = Labelled(source, labels[:200], tuple("0123456789"))
    test = Prepared(Array(str(tmp_path / "test.npy")), preprocess.centre)
    lesson = Lesson(train, MemoryLoader(memory), views, preprocess, np.arange(200))
    return lesson, Exam(test, labels[200:350], preprocess)


def plain(lesson, exam, lr, epochs, batch, milestones, weight_decay=1e-4):
    """Every step written out: SGD with momentum and decay on all parameters, BatchNorm training."""
    net = Small()
    fc = nn.Linear(192, 10)
    with torch.no_grad():
        fc.weight.copy_(Heads(1, 192, 10, 0).weight[0])
        fc.bias.zero_()
    parameters = [*net.parameters(), *fc.parameters()]
    velocity = [torch.zeros_like(p) for p in parameters]
    right = []
    middles = torch.cat(list(exam.images.batches(64)))
    x_test = (middles.float() / 255 - torch.tensor(Normalize().mean).view(3, 1, 1)) / torch.tensor(
        Normalize().std
    ).view(3, 1, 1)
    for epoch in range(epochs):
        net.train()
        for step in range(len(lesson.rows) // batch):
            plan = Plan(len(lesson.rows), batch, epochs, 0)
            index = lesson.rows[plan.index(epoch * plan.steps_per_epoch + step)]
            whole = torch.stack([torch.from_numpy(lesson.train.source.raw(int(i))).permute(2, 0, 1) for i in index])
            x, _ = lesson.views(whole, np.full((batch, 2), 16), index, epoch)
            loss = nn.functional.cross_entropy(fc(net(x)), torch.from_numpy(lesson.train.labels[index]))
            gradients = torch.autograd.grad(loss, parameters)
            rate = lr * batch / 256 * 0.1 ** sum(epoch >= m for m in milestones)
            with torch.no_grad():
                for p, v, g in zip(parameters, velocity, gradients, strict=True):
                    v.copy_(0.9 * v + g + weight_decay * p)
                    p.sub_(rate * v)
        net.eval()
        with torch.no_grad():
            logits = fc(net(x_test))
        right.append((logits.argmax(dim=1).numpy() == exam.labels).mean())
    return net, fc, right


def test_a_training_is_the_plain_one_on_the_same_order_and_crops(parts, monkeypatch):
    lesson, exam = parts
    settings = replace(QUICK, weight_decay=0.01, batch=100)
    net, fc, right = plain(lesson, exam, 0.4, 10, 100, (7, 9), weight_decay=0.01)

    kept = []
    monkeypatch.setattr("moco.protocols.tuning.build_optimizer", keep(kept))
    looks = tune(Small(), lesson, exam, 0.4, settings, PLACEMENT, every=1)
    (ours,) = kept
    theirs = [*net.state_dict().values(), *fc.state_dict().values()]
    for mine, other in zip(ours.state_dict().values(), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-4, atol=2e-5)
    assert [(rank < 1).mean() for rank in looks] == pytest.approx(right, abs=0.007), "one image of 150"
    assert right[-1] > 0.2, "better than chance, or the comparison says little"
    (last,) = tune(Small(), lesson, exam, 0.4, settings, PLACEMENT)
    assert (last == looks[-1]).all(), "looking changes nothing"


def keep(kept):
    """The real optimizer, after its model is noted."""
    from moco.optim import build_optimizer

    def build(choice, model):
        kept.append(model)
        return build_optimizer(choice, model)

    return build


def test_the_encoder_that_was_handed_in_does_not_change_and_neither_does_torch_s_generator(parts):
    lesson, exam = parts
    backbone = Small(p=0.5).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = tune(backbone, lesson, exam, 0.8, QUICK, PLACEMENT)[-1]
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert not backbone.training
    assert not any(p.requires_grad for p in backbone.parameters())
    assert (first == tune(backbone, lesson, exam, 0.8, QUICK, PLACEMENT)[-1]).all(), "dropout is seeded too"


def test_few_images_are_learnt_with_the_crops_and_classes_that_they_have_in_the_whole_set(parts):
    lesson, exam = parts
    rows = draw_labels(lesson.labels, name_keys(lesson.train.source), PerClass(4), 0, 0)
    few = tune(Small(), lesson.at(rows), exam, 0.8, QUICK, PLACEMENT)[-1]
    _, _, right = plain(lesson.at(rows), exam, 0.8, 10, 40, (7, 9))
    assert (few < 1).mean() == pytest.approx(right[-1], abs=0.007)
    from_workers = replace(lesson, loader=WorkerLoader(lesson.train.source, lesson.views, 0)).at(rows)
    other = tune(Small(), from_workers, exam, 0.8, QUICK, PLACEMENT)[-1]
    assert ((few < 1) == (other < 1)).mean() > 0.9, "the same but for crops rounded to 8 bits"


def test_no_loader_gives_an_image_that_is_not_in_use(parts):
    lesson, _ = parts
    rows = np.arange(10, 200, 7)
    plan = QUICK.plan(rows)
    for loader in (lesson.loader, WorkerLoader(lesson.train.source, lesson.views, 0)):
        assert {i for batch in loader.batches(plan, 0) for i in batch.index.tolist()} == set(rows)


def test_few_images_get_as_many_epochs_as_make_enough_steps():
    def epochs(images, **settings):
        return Tuning(**settings).plan(np.arange(images)).epochs

    assert epochs(50) == 500
    assert epochs(600) == 250
    assert epochs(437_000) == 100
    assert epochs(50, steps=0) == 100
    assert epochs(50, steps=20, epochs=7) == 20


def test_the_presets_are_the_papers_and_an_untrained_encoder_has_its_own_rate():
    inat, imagenet = Tuning(), Tuning(preset="imagenet")
    assert (inat.rates(trained=True), inat.rates(trained=False), PRESETS["inaturalist"].at) == (
        (0.025,),
        (0.1,),
        (0.7, 0.9),
    )
    assert (imagenet.rates(trained=True), imagenet.rates(trained=False)) == ((0.03,), (0.1,))
    for one in (inat, imagenet):
        assert one.plan(np.arange(100_000)).epochs == 100
        assert (one.batch, one.momentum, one.weight_decay) == (256, 0.9, 1e-4)
    assert Tuning(lrs=(0.1, 1.0)).rates(trained=False) == Tuning(lrs=(0.1, 1.0)).rates(trained=True) == (0.1, 1.0)


def test_a_rate_is_chosen_on_training_images_that_were_held_back(parts, monkeypatch):
    lesson, _ = parts
    keys = name_keys(lesson.train.source)
    seen = []
    real = tune

    def watched(backbone, part, exam, *rest):
        seen.append((set(part.rows), set(exam.images.source.positions)))
        return real(backbone, part, exam, *rest)

    monkeypatch.setattr("moco.protocols.tuning.tune", watched)
    assert choose_rate(Small(), lesson, (1e-6, 0.8, 1e30), QUICK, PLACEMENT, keys) == 0.8
    assert len(seen) == 3
    for learnt, held in seen:
        assert not learnt & held
        assert learnt | held == set(range(200))
        assert 30 <= len(held) <= 50
    seen.clear()
    assert choose_rate(Small(), lesson, (0.3,), QUICK, PLACEMENT, keys) == 0.3
    one_each = lesson.at(draw_labels(lesson.labels, keys, PerClass(1), 0, 0))
    assert choose_rate(Small(), one_each, (0.4, 0.8), QUICK, PLACEMENT, keys) == 0.4
    assert not seen, "nothing to choose, or nothing to choose by"


def test_a_training_that_diverges_says_so(parts):
    lesson, exam = parts
    with pytest.raises(DivergedError, match=r"diverges at a rate of 1e\+30; give lower ones"):
        tune(Small(), lesson, exam, 1e30, QUICK, PLACEMENT)
    with pytest.raises(DivergedError, match=r"1e\+30, 1e\+31"):
        choose_rate(Small(), lesson, (1e30, 1e31), QUICK, PLACEMENT, name_keys(lesson.train.source))


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"steps": -1}, {"batch": 1}, {"lrs": (0.0, 1.0)}, {"preset": "cifar"}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MocoError, match="--finetune-"):
        Tuning(**wrong)
