"""The plain reading of a ResNet: torchvision's own numbers, and nothing too much or too little."""

import pytest
import torch
from torchvision.models.resnet import resnet18, resnet50

from moco import MocoError
from moco.handover.openmmlab import NAMES
from moco.handover.reading import Plan, read_features

IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 64).view(2, 3, 64, 64).sin()


def trained(make, **options):
    torch.manual_seed(1)
    net = make(**options)
    net.fc = torch.nn.Identity()
    net.train()(torch.randn(8, 3, 64, 64))
    return net.eval()


@pytest.mark.parametrize(
    ("make", "plan", "options"),
    [
        (resnet18, Plan(18), {}),
        (resnet50, Plan(50, groups=4), {"groups": 4, "width_per_group": 16}),
        (resnet50, Plan(50), {"width_per_group": 32}),
    ],
)
def test_a_reading_gives_torchvisions_features(make, plan, options):
    net = trained(make, **options)
    with torch.no_grad():
        expected = net(IMAGES)
    found = read_features(net.state_dict(), NAMES, plan, IMAGES)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_tensor_that_is_missing_or_has_no_use_is_refused():
    tensors = trained(resnet18).state_dict()
    with pytest.raises(MocoError, match=r"no place for 1 tensors \(layer9.weight\)"):
        read_features(tensors | {"layer9.weight": torch.zeros(1)}, NAMES, Plan(18), IMAGES)
    del tensors["layer3.0.downsample.1.running_var"]
    with pytest.raises(MocoError, match=r"no tensor layer3\.0\.downsample\.1\.running_var"):
        read_features(tensors, NAMES, Plan(18), IMAGES)


def test_the_stride_of_another_stem_gives_other_features():
    tensors = trained(resnet18).state_dict()
    usual, other = (read_features(tensors, NAMES, plan, IMAGES) for plan in (Plan(18), Plan(18, stem_stride=1)))
    assert (usual - other).abs().max() > 0.01 * usual.abs().max()
