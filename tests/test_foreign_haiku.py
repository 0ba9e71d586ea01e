"""BYOL's own checkpoint: a pickle of haiku's arrays, of a network that pads as TensorFlow does."""

import pickle
import re
import sys

import pytest
import torch
from foreign_layouts import features, foreign, resnet, trunk
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

from moco.run.load import open_encoder


def haiku_names(weights, network="res_net50"):
    """(parameters, statistics) as haiku nests them: layer -> array."""
    parameters, state = {}, {}
    for name, tensor in trunk(weights).items():
        if name.endswith("num_batches_tracked"):
            continue
        layer, array = name.rpartition(".")[::2]
        layer = re.sub(r"^conv1$", "initial_conv", layer)
        layer = re.sub(r"^bn1$", "initial_batchnorm", layer)
        layer = re.sub(r"^layer(\d)\.(\d+)\.", lambda m: f"block_group_{int(m[1]) - 1}/~/block_{m[2]}/~/", layer)
        layer = layer.replace("downsample.0", "shortcut_conv").replace("downsample.1", "shortcut_batchnorm")
        layer = re.sub(r"/bn(\d)$", lambda m: f"/batchnorm_{int(m[1]) - 1}", layer)
        layer = re.sub(r"/conv(\d)$", lambda m: f"/conv_{int(m[1]) - 1}", layer)
        place = f"{network}/~/{layer}"
        if "running" in array:
            moment = {"running_mean": "mean_ema", "running_var": "var_ema"}[array]
            value = tensor.view(1, 1, 1, -1).numpy()
            state[f"{place}/~/{moment}"] = {"average": value, "hidden": value, "counter": torch.tensor(9).numpy()}
        elif tensor.ndim == 4:
            parameters.setdefault(place, {})["w"] = tensor.permute(2, 3, 1, 0).contiguous().numpy()
        else:
            key = {"weight": "scale", "bias": "offset"}[array]
            parameters.setdefault(place, {})[key] = tensor.view(1, 1, 1, -1).numpy()
    parameters["projector/linear"] = {"w": torch.zeros(4, 4).numpy(), "b": torch.zeros(4).numpy()}
    return parameters, state


def plain_features(net, x):
    """The published network, written out: every window of stride 2 is padded by one more at the end than before."""

    def same(x, kernel):
        total = max(0, (-(-x.shape[-1] // 2) - 1) * 2 + kernel - x.shape[-1])
        return F.pad(x, [total // 2, total - total // 2] * 2)

    x = F.relu(net.bn1(F.conv2d(same(x, 7), net.conv1.weight, stride=2)))
    x = F.max_pool2d(same(x, 3), 3, 2)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            short = x if block.downsample is None else block.downsample(x)
            y = F.relu(block.bn1(block.conv1(x)))
            strided = block.conv2.stride == (2, 2)
            y = F.conv2d(same(y, 3), block.conv2.weight, stride=2) if strided else block.conv2(y)
            x = F.relu(block.bn3(block.conv3(F.relu(block.bn2(y)))) + short)
    return x.mean(dim=(2, 3))


@pytest.mark.parametrize("frozen", [True, False])
def test_byols_own_checkpoint_gives_the_features_of_its_network(frozen, tmp_path):
    net = resnet(block=Bottleneck)
    online, state = haiku_names(net.state_dict())
    target, _ = haiku_names(resnet(block=Bottleneck, seed=1).state_dict())

    def kept(mapping):
        """A frozendict is pickled as a call of its class with a dict, at each level."""
        if not frozen:
            return mapping
        return Frozen({k: Frozen(v) for k, v in mapping.items()})

    members = (kept(online), kept(target), kept(state), kept(state), ())
    content = {"experiment_state": State(members), "step": 9, "rng": torch.zeros(2).numpy()}
    (tmp_path / "pretrain_res50x1.pkl").write_bytes(pickle.dumps(content, protocol=2))
    for room in ("haiku", "haiku._src.data_structures", "byol", "byol.byol_experiment"):
        sys.modules.pop(room, None)
    opened = open_encoder(tmp_path / "pretrain_res50x1.pkl")
    x = torch.linspace(-1, 1, 2 * 3 * 64 * 64).view(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(opened.backbone(x), plain_features(net, x), atol=1e-6)
        assert not torch.allclose(opened.backbone(x), features(net, x), atol=1e-3), "torchvision pads otherwise"
    assert "padded as TensorFlow does" in opened.about


class Frozen:
    """Pickled as haiku._src.data_structures.frozendict(dict)."""

    def __init__(self, mapping):
        self.mapping = mapping

    def __reduce__(self):
        return type(foreign("haiku._src.data_structures", "frozendict")), (self.mapping,)


class State:
    """Pickled as the named tuple byol.byol_experiment._ByolExperimentState of these members."""

    def __init__(self, members):
        self.members = members

    def __reduce__(self):
        return type(foreign("byol.byol_experiment", "_ByolExperimentState")), self.members
