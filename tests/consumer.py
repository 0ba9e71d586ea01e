"""Code of somebody who uses the library; tests/contracts/test_types.py lets a strict type checker read it."""

from dataclasses import replace
from pathlib import Path
from typing import assert_type

import torch
from torch import Tensor

import moco


def own_score(moment: moco.Moment) -> dict[str, float]:
    """A function of `watch`."""
    assert_type(moment.step, int)
    assert_type(moment.out, Path)
    return {"rank": moco.effective_rank(moment.encoder.backbone(torch.zeros(4, 3, 32, 32)))}


def step(images: Tensor, number: int) -> Tensor:
    """One step of a loop."""
    f_q = moco.build_encoder("resnet18", stem="small", norm_group=32)
    assert_type(f_q, moco.Encoder)
    queue = moco.Queue(4096, dim=128, store="int8")
    own = moco.View(scale=(0.4, 1.0), jitter=moco.Jitter(hue=0.0), blur=moco.Blur(p=0.2), noise=moco.Noise(p=0.1))
    views = moco.views(own, "gentle", size=32, normalize=moco.Normalize(), channels=3)
    x_q, x_k = views(images, range(len(images)), epoch=0)
    assert_type(x_q, Tensor)
    k = moco.shuffled_keys(f_q, x_k, step=number)
    found = moco.info_nce(f_q(x_q), *queue.look_up(k), temperature=0.2)
    assert_type(found.loss, Tensor)
    moco.momentum_update_(f_q, moco.group_batch_norm(f_q, 32), m=0.99)
    queue.update(k)
    queue.restore(queue.state())
    return found.loss


def scores(features: Tensor, labels: Tensor) -> float:
    """Numbers about features."""
    assert_type(moco.knn(features, labels, k=5), float)
    found = moco.linear_probe(features, labels, features, labels)
    assert_type(found.last, float)
    return found.last + moco.alignment(features, features) + moco.uniformity(features) + moco.spread(features)


def run(data: str, out: Path) -> None:
    """The commands."""
    recipe = replace(moco.v2(), batch=64, query_view=moco.View(bands=moco.Bands(gain=0.1)))
    assert_type(recipe, moco.Recipe)
    assert_type(moco.__version__, str)
    try:
        assert_type(moco.pretrain(data, out, recipe, watch=["labelled", own_score], machine=moco.Machine()), Path)
    except (moco.MocoError, moco.Stopped) as error:
        raise SystemExit(str(error)) from None
    encoder, _ = moco.load(out)
    assert_type(encoder, torch.nn.Module)
    place = moco.place(moco.Machine(device="cpu"))
    with place.autocast():
        place.put(encoder)
    moco.evaluate(out, data, ["knn"])
    assert_type(moco.report(out), Path)
    assert_type(moco.export(out, "onnx", "folder").difference, float)
