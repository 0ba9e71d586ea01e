"""Statistics for judging: those of now, and training does not notice."""

import torch
from test_commands_transfer import PLACE, small
from torch import nn
from transfer_data import make_voc

from moco.backbones import build_backbone
from moco.recipe import Normalize
from moco.transfer.batches import Loader
from moco.transfer.layouts.voc import read_voc
from moco.transfer.precise import precise_norms
from moco.transfer.recipe import Trial
from moco.transfer.tuning import build_tuning, canvas_of, tune_step


def test_inside_statistics_are_means_over_batches_and_outside_all_is_as_it_was(tmp_path):
    part, _ = read_voc(make_voc(tmp_path / "voc"), None, None)
    recipe = small("detect-voc", **{"schedule.steps": 20, "precise_norm": 2})
    torch.manual_seed(0)
    trial = Trial(recipe=recipe, start="random")
    t = build_tuning(trial, build_backbone("resnet10w8")[0], Normalize(), part, PLACE)
    loader = Loader(recipe, part, 0, 0)
    tune_step(t, next(loader.steps(0)))
    before = {name: value.clone() for name, value in t.model.state_dict().items()}
    with precise_norms(t, loader):
        inside = t.model.body.stages.bn1.running_mean.clone()
    assert all(torch.equal(value, before[name]) for name, value in t.model.state_dict().items())
    assert all(m.momentum == 0.1 for m in t.model.modules() if isinstance(m, nn.BatchNorm2d))
    means = []
    steps = loader.steps(0)
    for batch in (next(steps), next(steps)):
        for group in batch.groups:
            x = canvas_of(group.pixels, group.sizes, t.normalize, PLACE).pixels
            means.append(t.model.body.stages.conv1(x).mean((0, 2, 3)))
    assert torch.allclose(inside, torch.stack(means).mean(0), atol=1e-5)


def test_a_schedule_of_a_few_steps_takes_the_running_ones(tmp_path):
    part, _ = read_voc(make_voc(tmp_path / "voc"), None, None)
    recipe = small("detect-voc", **{"schedule.steps": 9})
    trial = Trial(recipe=recipe, start="random")
    t = build_tuning(trial, build_backbone("resnet10w8")[0], Normalize(), part, PLACE)
    before = t.model.body.stages.bn1.running_var.clone()
    with precise_norms(t, Loader(recipe, part, 0, 0)):
        assert torch.equal(t.model.body.stages.bn1.running_var, before)
