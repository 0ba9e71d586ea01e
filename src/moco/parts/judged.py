"""What labels say about features: nearest neighbours and a linear classifier, on tensors of one's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco.arguments import words
from moco.data.labelled import hold_back
from moco.errors import MocoError
from moco.parts import refuse
from moco.protocols.knn import Bank, Vote, knn_classes
from moco.protocols.linear_quick import LinearQuick, quick_linear
from moco.protocols.probe import HELD_BACK, Judged, LinearScore, swept


def knn(
    features: Tensor,
    labels: Tensor,
    test_features: Tensor | None = None,
    test_labels: Tensor | None = None,
    *,
    k: int = 20,
    temperature: float = 0.07,
    vote: Vote = "weighted",
) -> float:
    """Share of rows whose class their k nearest neighbours by cosine find (InstDisc, arXiv:1805.01978, section 3.4).

    `features` (N x D) with `labels` (N, classes from 0 on) are known, `test_features` (M x D) with `test_labels` (M)
    are judged; without them each known row is judged by the others. Votes weigh exp(cosine / temperature), or one each
    with `vote="majority"`. What `moco evaluate ... knn` does. Raises MocoError for other shapes, types or devices, and
    for a k above the number of known rows.
    """
    name = "knn"
    refuse.number(name, "k", k, least=1, whole=True)
    refuse.positive(name, "temperature", temperature)
    if vote not in ("weighted", "majority"):
        raise MocoError(f"moco.{name}: vote is {words(vote)}; give weighted or majority")
    if (test_features is None) != (test_labels is None):
        raise MocoError(f"moco.{name}: test_features and test_labels belong together; give both or neither")
    _refuse(name, features, labels, test_features, test_labels)
    alone = test_features is None
    known = len(features) - int(alone)
    if k > known:
        others = "other rows than the judged one" if alone else "known rows"
        raise MocoError(f"moco.{name}: k is {k} for {known} {others} (features is {words(features)}); lower k")
    judged, truth = (features, labels) if test_features is None or test_labels is None else (test_features, test_labels)
    found = knn_classes(
        judged.detach().float(),
        Bank(features.detach().float(), labels.long()),
        int(labels.max()) + 1,
        ks=[k],
        votes=[vote],
        temperature=temperature,
        leave_one_out=alone,
    )
    return float((found[:, 0] == truth.cpu().long()).float().mean())


def linear_probe(
    features: Tensor,
    labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    lr: float | None = None,
    epochs: int = 100,
    seed: int = 0,
) -> LinearScore:
    """A linear classifier on features (N x D) that are computed once, judged on others (M x D).

    `lr` is that of a batch of 256 (the papers' is 30); None chooses among rates from 0.001 to 300 on a tenth of the
    known rows that is held back, then trains anew on all. SGD as in the official code, the rate falls to a tenth after
    60 and 80 % of the epochs (v1, section 4.1). The answer has `last` (accuracy after the last epoch), `best`, `top5`
    and `lr`. What `moco evaluate ... linear-quick` does: one crop an image, so not the papers' protocol. Raises
    MocoError for other shapes, types or devices, and for a judged class that no known row has.
    """
    name = "linear_probe"
    _refuse(name, features, labels, test_features, test_labels)
    refuse.number(name, "epochs", epochs, least=1, whole=True)
    refuse.number(name, "seed", seed, least=0, whole=True)
    if lr is not None:
        refuse.positive(name, "lr", lr)
    known, classes = labels.cpu().numpy().astype(np.int64), int(labels.max()) + 1
    judged = Judged(test_features.detach().float(), test_labels.cpu().numpy().astype(np.int64))
    rows = features.detach().float()

    def fit(index: NDArray[np.int64], other: Judged, lrs: tuple[float, ...]) -> list[LinearScore]:
        some = rows[torch.from_numpy(index).to(rows.device)]
        return quick_linear(some, known[index], other, classes, replace(settings, lrs=lrs))

    settings = LinearQuick(epochs=epochs, seed=seed)
    if lr is None:
        rest, held = hold_back(known, HELD_BACK, seed)
        aside = Judged(rows[torch.from_numpy(held).to(rows.device)], known[held])
        lr = swept(lambda lrs: fit(rest, aside, tuple(lrs)))
    return fit(np.arange(len(known)), judged, (lr,))[0]


def _refuse(
    name: str, features: Tensor, labels: Tensor, test_features: Tensor | None, test_labels: Tensor | None
) -> None:
    given = {"features": features, "labels": labels, "test_features": test_features, "test_labels": test_labels}
    refuse.vectors(name, "features", features)
    if test_features is not None:
        refuse.vectors(name, "test_features", test_features)
    refuse.together(name, given)
    for argument, x in (("features", features), ("test_features", test_features)):
        if x is not None and x.device.type == "meta":
            raise MocoError(f"moco.{name}: {argument} is {words(x)}, without values; put it on a device")
        if x is not None and not bool(x.isfinite().all()):
            raise MocoError(f"moco.{name}: {argument} is {words(x)}, with values that are not finite")
    refuse.classes(name, "labels", labels, len(features), "features")
    if test_features is not None:
        refuse.same_width(name, "features", features, "test_features", test_features)
        refuse.classes(name, "test_labels", test_labels, len(test_features), "test_features")
        assert test_labels is not None
        if int(test_labels.max()) > int(labels.max()):
            raise MocoError(
                f"moco.{name}: test_labels has a class {int(test_labels.max())}, and labels go up to "
                f"{int(labels.max())}; number the classes of both alike"
            )
