"""Names and shapes alone tell which sets of names are a backbone; no file, and no memory for weights."""

import pytest
import torch
from foreign_layouts import LAYOUTS, resnet, trunk, under

from moco.backbones import make_backbone
from moco.errors import MocoError
from moco.foreign.architecture import Architecture, misfit, shapes_alone
from moco.foreign.containers import contents
from moco.foreign.parts import head_in, queue_in
from moco.foreign.prefixes import backbones, beside, choose, rank


def outlines(weights):
    return {k: torch.empty(tuple(v.shape), device="meta") for k, v in weights.items()}


@pytest.fixture(scope="module")
def net():
    return trunk(resnet().state_dict())


@pytest.mark.parametrize(
    ("prefix", "value"),
    [
        ("module.encoder_q.", 1),
        ("student.backbone.", 1),
        ("base_encoder.", 1),
        ("backbone.", 0),
        ("", 0),
        ("encoder_k.0.", -2),
        ("teacher.backbone.", -2),
        ("state_dict_ema.", -2),
        ("online_momentum.", -1),
    ],
)
def test_words_of_a_place_tell_the_query_from_the_key(prefix, value):
    assert rank(prefix) == value


def test_each_set_of_names_that_fits_is_found_and_the_query_chosen(net):
    names = outlines(under("a.encoder_q.", net) | under("a.encoder_k.", net))
    found, near = backbones(names, {})
    assert [one.prefix for one in found] == ["a.encoder_q.", "a.encoder_k."]
    assert near == []
    assert choose(found, None).place == "a.encoder_q"
    assert choose(found, "encoder_k").place == "a.encoder_k"
    with pytest.raises(MocoError, match="#encoder_x is no backbone of it"):
        choose(found, "encoder_x")


def test_a_set_of_names_that_fits_nearly_says_what_keeps_it(net):
    names = outlines({k: v for k, v in net.items() if k != "bn1.bias"})
    found, near = backbones(names, {})
    assert found == []
    assert near[0].why.missing == ("bn1.bias",)
    assert near[0].why.told == "1 tensors are missing (bn1.bias)"


def test_a_head_of_any_name_is_none_of_the_backbone_and_a_part_within_is(net):
    with shapes_alone():
        made = Architecture("resnet10w64", lambda: make_backbone("resnet10w64"))
    assert misfit(outlines(net | {"fc.7.what.weight": torch.zeros(3), "anything.b": torch.zeros(2)}), made) is None
    why = misfit(outlines(net | {"layer2.0.gate.weight": torch.zeros(3)}), made)
    assert why.extra == ("layer2.0.gate.weight",)


@pytest.mark.parametrize("more", ["conv2.weight", "bn2.bias", "layer5.0.conv1.weight"])
def test_names_that_count_on_beside_the_backbone_are_no_head(net, more):
    """A first convolution in three parts, or a fifth stage: other networks, whose names hold a ResNet's."""
    found, near = backbones(outlines(net | {more: torch.zeros(4, 4, 1, 1), "fc2.weight": torch.zeros(4, 4)}), {})
    assert found == []
    assert near[0].why.told == f"1 tensors go on where it ends ({more})"


def test_an_outline_takes_no_memory():
    net = Architecture("resnet50w256", lambda: make_backbone("resnet50w256")).outline  # 1.4 GiB of weights
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_what_lies_beside_is_counted_by_the_part_in_which_it_differs(net):
    held = contents(LAYOUTS["lightly"](net)).tensors
    used = {k for k in held if k.startswith("state_dict.backbone.")}
    assert beside(held, "state_dict.backbone.", used).startswith("backbone_momentum (60 tensors), projection_head (3")


def test_of_several_heads_of_one_shape_the_querys_is_taken_and_of_equals_none():
    wanted = {"0.weight": torch.zeros(4, 8), "0.bias": torch.zeros(4)}
    one = {"weight": torch.ones(4, 8), "bias": torch.ones(4)}
    two = under("encoder_q.fc.", one) | under("encoder_k.fc.", {k: v + 1 for k, v in one.items()})
    place, found = head_in(two, wanted)
    assert place == "encoder_q.fc"
    assert torch.equal(found["0.bias"], one["bias"])
    assert head_in(under("a.", one) | under("b.", one), wanted) is None
    assert head_in(under("a.", {"weight": torch.ones(5, 8), "bias": torch.ones(5)}), wanted) is None


def test_a_queue_is_known_by_its_name_its_shape_and_its_unit_vectors():
    keys = torch.nn.functional.normalize(torch.randn(12, 4), dim=1)
    assert torch.equal(queue_in({"memory": keys}, 12, 4)[1], keys)  # PyContrast: K x C
    name, found, pointer = queue_in({"m.queue": keys.T, "m.queue_ptr": torch.tensor([5])}, 12, 4)
    assert (name, pointer) == ("m.queue", 5)
    assert torch.equal(found, keys)
    assert queue_in({"m.queue": 3 * keys.T}, 12, 4) is None
    assert queue_in({"weight": keys}, 12, 4) is None
