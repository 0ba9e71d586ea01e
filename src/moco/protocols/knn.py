"""k nearest neighbours (InstDisc, arXiv:1805.01978, section 3.4): by a vote weighted by similarity, or by majority."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from moco import distributed
from moco.errors import MocoError
from moco.ops.nearest import BANK, ROWS, nearest
from moco.protocols.contest import Contest
from moco.protocols.interval import wilson, wilson_words
from moco.protocols.result import Cell, Result
from moco.run.load import Kind

Vote = Literal["weighted", "majority"]


@dataclass(frozen=True, kw_only=True)
class KNN:
    """The protocol: no training at all, only what lies next to what."""

    name: ClassVar[str] = "knn"
    prefix: ClassVar[str] = "knn"
    needs_labels: ClassVar[bool] = True

    k: tuple[int, ...] = (20, 200)
    vote: tuple[Vote, ...] = ("weighted", "majority")
    temperature: float = 0.07
    """T of the weighted vote: exp(cosine / T), as in InstDisc and DINO."""
    features: tuple[Kind, ...] = ("backbone",)

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1:
            raise MocoError(f"--knn-k {' '.join(map(str, self.k))}: numbers from 1 on")
        if not self.temperature > 0:
            raise MocoError(f"--knn-temperature {self.temperature}: must be positive")
        if not self.vote or not self.features:
            raise MocoError(f"--knn-{'vote' if not self.vote else 'features'}: name at least one")

    def judge(self, contest: Contest) -> Result:
        """The share of judged images whose class is found, for each k and vote."""
        train, test = contest.train, contest.test
        rows: dict[str, list[Cell]] = {}
        n = images = 0
        for contender in contest.contenders:
            kinds = [kind for kind in self.features if kind != "head" or contender.whole is not None]
            for kind in kinds or ["backbone"]:
                known, judged = (contest.features(contender, side, kind) for side in (train, test))
                n, images = len(judged.labels), len(known.labels)
                bank = Bank(torch.from_numpy(known.features), torch.from_numpy(known.labels))
                own = distributed.share(n, ROWS)
                found = knn_classes(
                    torch.from_numpy(judged.features[own]),
                    bank,
                    len(train.classes),
                    ks=self.k,
                    votes=self.vote,
                    temperature=self.temperature,
                    device=contest.placement.device,
                )
                right = distributed.collect(found).numpy() == judged.labels[:, None]
                shares = right.mean(axis=0).tolist()
                title = contender.name if kind == "backbone" else f"{contender.name}, {kind}"
                rows[title] = [Cell(share, None, wilson(share, n)) for share in shares]
        return Result(
            protocol=self.name,
            data=contest.data,
            title=f"k nearest neighbours by cosine among {images:,} labelled images, judged on {n:,}; features: "
            + ", ".join(self.features)
            + (f"; weighted by exp(cosine / {self.temperature:g})" if "weighted" in self.vote else ""),
            columns=[
                f"{vote}, k {k}" + (f" (all {images})" if k >= images else "") for vote in self.vote for k in self.k
            ],
            rows=rows,
            settings=dataclasses.asdict(self),
            interval=wilson_words(n),
        )


@dataclass(frozen=True)
class Bank:
    """Features (M x D) whose labels (M) are known."""

    features: Tensor
    labels: Tensor


def knn_classes(
    features: Tensor,
    bank: Bank,
    classes: int,
    *,
    ks: Sequence[int],
    votes: Sequence[Vote],
    temperature: float,
    leave_one_out: bool = False,
    device: torch.device | None = None,
    rows_at_once: int = ROWS,
    bank_at_once: int = BANK,
) -> Tensor:
    """The class of each row (N x D) by the votes of its k nearest: N x (votes x ks), on the host.

    A k beyond the size of the bank takes all of it. `leave_one_out`: the rows are the bank itself, and no row votes for
    itself. Exact, in blocks of bounded memory (`ops.nearest`).
    """
    device = device or features.device
    most = len(bank.labels) - int(leave_one_out)
    labels = bank.labels.to(device)
    found: list[Tensor] = [torch.empty(0, len(ks) * len(votes), dtype=torch.int64)]
    for first in range(0, len(features), rows_at_once):
        similar, places = nearest(
            features[first : first + rows_at_once],
            bank.features,
            min(max(ks), most),
            themselves=leave_one_out,
            first=first,
            device=device,
            rows_at_once=rows_at_once,
            bank_at_once=bank_at_once,
        )
        chosen = [poll(similar[:, :k], labels[places[:, :k]], classes, vote, temperature) for vote in votes for k in ks]
        found.append(torch.stack(chosen, dim=1).cpu())
    return torch.cat(found)


def poll(similar: Tensor, labels: Tensor, classes: int, vote: Vote, temperature: float) -> Tensor:
    """The class (N) that the neighbours of each row vote for, by their cosines and labels (both N x k, nearest first).

    Weighted: exp(cosine / T). Majority: one vote each; of classes with equally many, the one with the larger sum of
    cosines.
    """
    match vote:
        case "weighted":
            weights = ((similar - similar[:, :1]) / temperature).exp()
        case "majority":
            weights = 1 + similar / (4 * similar.shape[1])
    return torch.zeros(len(labels), classes, device=labels.device).scatter_add_(1, labels, weights).argmax(dim=1)


def knn_accuracy(
    features: Tensor,
    labels: NDArray[np.int64],
    classes: int,
    *,
    k: int,
    temperature: float,
    bank: tuple[Tensor, NDArray[np.int64]] | None = None,
) -> float:
    """Share of rows whose class is found by a weighted vote; without a bank, each row is judged by the others."""
    truth = torch.from_numpy(labels)
    known = Bank(features, truth) if bank is None else Bank(bank[0], torch.from_numpy(bank[1]))
    found = knn_classes(
        features, known, classes, ks=[k], votes=["weighted"], temperature=temperature, leave_one_out=bank is None
    )
    return float((found[:, 0] == truth).float().mean())
