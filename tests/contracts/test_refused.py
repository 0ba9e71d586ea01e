"""Every argument of every public function: nonsense for it alone is refused in one sentence that names it."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import moco


def unit(*shape):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))


PIXELS = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 0, 1])
QUEUE = moco.Queue(16, 8)
PLAIN = moco.Machine(threads=1, precision="fp32")
CLASSIFIED = {"features": unit(4, 8), "labels": LABELS, "test_features": unit(4, 8), "test_labels": LABELS}
GOOD = {
    "Queue": (moco.Queue, {"size": 16, "dim": 8, "seed": 0, "store": "fp32"}),
    "Queue.look_up": (QUEUE.look_up, {"k": unit(4, 8)}),
    "Queue.update": (QUEUE.update, {"k": unit(4, 8)}),
    "Queue.restore": (QUEUE.restore, {"state": QUEUE.state()}),
    "Queue.filled": (QUEUE.filled, {"keys_seen": 3}),
    "info_nce": (
        moco.info_nce,
        {"q": unit(4, 8), "key": unit(4, 8), "others": unit(16, 8), "log_count": torch.zeros(4, 16), "scale": None,
         "alike": None, "temperature": 0.1, "hardness": 0.5},
    ),
    "info_nce of int8": (
        moco.info_nce,
        {"q": unit(4, 8), "key": unit(4, 8), "others": torch.ones(16, 8, dtype=torch.int8), "scale": torch.ones(16),
         "temperature": 0.1},
    ),
    "momentum_update_": (moco.momentum_update_, {"key": net(), "query": net(), "m": 0.9}),
    "shuffled_keys": (moco.shuffled_keys, {"encoder": net(), "images": PIXELS.float(), "step": 0, "seed": 0}),
    "group_batch_norm": (moco.group_batch_norm, {"net": net(), "group": 2}),
    "Encoder": (moco.Encoder, {"backbone": net(), "head": net()}),
    "Encoder()": (moco.Encoder(nn.Flatten(), nn.Linear(192, 4)), {"images": PIXELS.float()}),
    "build_encoder": (
        moco.build_encoder,
        {"backbone": "resnet10w8", "stem": "small", "dim": 8, "head_layers": 1, "head_norm": False, "norm_group": None,
         "channels": 3},
    ),
    "views": (
        moco.views, {"query": "gentle", "key": None, "size": 8, "seed": 0, "channels": 3, "normalize": None}
    ),
    "views()": (
        moco.views("gentle", size=8),
        {"images": PIXELS, "index": LABELS, "epoch": 0, "sizes": [[8, 8]] * 4,
         "memory_format": torch.contiguous_format},
    ),
    "effective_rank": (moco.effective_rank, {"features": unit(4, 8)}),
    "lidar": (moco.lidar, {"views": unit(4, 2, 8), "delta": 1e-4}),
    "alignment": (moco.alignment, {"a": unit(4, 8), "b": unit(4, 8)}),
    "uniformity": (moco.uniformity, {"z": unit(4, 8)}),
    "spread": (moco.spread, {"z": unit(4, 8)}),
    "retrieval_accuracy": (moco.retrieval_accuracy, {"a": unit(4, 8), "b": unit(4, 8)}),
    "rotation_accuracy": (moco.rotation_accuracy, {"features": unit(8, 4)}),
    "knn": (moco.knn, CLASSIFIED | {"k": 1, "temperature": 0.1, "vote": "weighted"}),
    "linear_probe": (moco.linear_probe, CLASSIFIED | {"lr": 0.1, "epochs": 1, "seed": 0}),
    "place": (moco.place, {"machine": PLAIN}),
    "load": (moco.load, {"path": "torchvision:resnet18", "features": "backbone"}),
    "load_transfer": (moco.load_transfer, {"path": "nowhere"}),
    "report": (moco.report, {"path": "nowhere"}),
    "evaluate": (
        moco.evaluate,
        {"encoder": "nowhere", "data": "demo", "protocols": ["knn"], "train": None, "test": None, "split": None,
         "against": [], "out": None, "machine": PLAIN},
    ),
    "export": (
        moco.export,
        {"encoder": "nowhere", "format": "timm", "out": "out", "head": False, "preprocess": False, "data": None,
         "push": None},
    ),
    "pretrain": (
        moco.pretrain,
        {"data": "nowhere", "out": "out", "recipe": "v2", "time": None, "views": None, "watch": None, "init": None,
         "machine": PLAIN, "changes": {}, "until": None, "asked": None, "log": (), "pairs": None, "prompt": "{}",
         "began": None},
    ),
    "Machine": (moco.Machine, vars(PLAIN)),
}  # fmt: skip
SERVICE = {"tell"}
"""Arguments that take any object with some methods (a Protocol)."""

EACH = [(name, argument) for name, (_, given) in GOOD.items() for argument in given]
TENSORS = [(name, argument) for name, argument in EACH if isinstance(GOOD[name][1][argument], torch.Tensor)]
OF_LENGTH_ONE = {"q", "key", "others", "k", "a", "b", "z"}


def refusal(name, argument, value):
    function, given = GOOD[name]
    with pytest.raises(moco.MocoError) as refused:
        function(**given | {argument: value})
    text = str(refused.value)
    assert "\n" not in text
    assert argument in text.replace("-", "_"), text
    return text


def test_every_public_function_and_every_argument_of_it_is_in_the_table():
    callables = {name for name in moco.__all__ if callable(getattr(moco, name))}
    data = {"View", "Jitter", "Blur", "Bands", "Noise", "Normalize", "Recipe", "Stopped", "MocoError", "Moment"}
    recipes = {name for name in callables - data if not inspect.signature(getattr(moco, name)).parameters}
    assert callables - data - recipes <= GOOD.keys()
    for name, (function, given) in GOOD.items():
        if isinstance(function, nn.Module) or name == "info_nce of int8":
            continue
        assert set(inspect.signature(function).parameters) - SERVICE == set(given), name


@pytest.mark.parametrize(("name", "argument"), EACH)
def test_what_is_of_no_type_at_all_is_refused_by_name(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = refusal(name, argument, object())
    assert "an object" in text or "has <object" in text
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(("name", "argument"), TENSORS)
def test_a_tensor_of_other_dimensions_type_device_or_length_is_refused_by_name(name, argument):
    right = GOOD[name][1][argument]
    refusal(name, argument, right[None] if right.ndim != 4 else right[0])
    if name != "Encoder()":  # of no images there are no vectors: 0 x C
        refusal(name, argument, right[:0])
    refusal(name, argument, right.int().float() if not right.is_floating_point() else right.int())
    refusal(name, argument, right.to("meta"))
    if argument in OF_LENGTH_ONE and right.is_floating_point() and name != "retrieval_accuracy":
        assert "length 3" in refusal(name, argument, 3 * right)
    if right.ndim == 2 and len(GOOD[name][1]) > 1:
        refusal(name, argument, right[:, :-1])


def fields(kind, flag):
    return [(kind, name, flag) for name in kind.__dataclass_fields__]


@pytest.mark.parametrize(
    ("kind", "name", "flag"),
    [
        *fields(moco.View, "--query-view."),
        *fields(moco.Jitter, "--query-view.jitter."),
        *fields(moco.Blur, "--query-view.blur."),
        *fields(moco.Bands, "--query-view.bands."),
        *fields(moco.Noise, "--query-view.noise."),
    ],
)
def test_a_field_of_a_view_that_is_of_no_type_at_all_is_refused_by_its_flag(kind, name, flag):
    part = kind(**{name: object()})
    view = part if kind is moco.View else moco.View(**{kind.__name__.lower(): part})
    with pytest.raises(moco.MocoError, match=f"{flag}{name.replace('_', '-')} is an? object; give "):
        moco.views(view, size=8)


@pytest.mark.parametrize("name", moco.Normalize.__dataclass_fields__)
def test_a_normalisation_of_no_numbers_is_refused(name):
    with pytest.raises(moco.MocoError, match=f"--normalize.{name} is an? object; give a tuple"):
        moco.views(size=8, normalize=moco.Normalize(**{name: object()}))


def test_a_recipe_made_by_hand_is_looked_at_before_anything_is_written(tmp_path):
    from dataclasses import replace

    bad = replace(moco.v2(), optim=replace(moco.v2().optim, lr="0.1"))
    with pytest.raises(moco.MocoError, match=r"--optim.lr is '0.1'; give a number"):
        moco.pretrain("demo", tmp_path / "out", bad, machine=PLAIN)
    assert not (tmp_path / "out").exists()
