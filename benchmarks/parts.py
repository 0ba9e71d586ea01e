"""What parts of a recipe are worth in a short run: each changed alone, at the same cost, judged alike.

    python benchmarks/parts.py --steps 1500 --out parts.json NAME=TRAIN,TEST,VIEWS ...
    python benchmarks/parts.py --table parts.json

The base is what `auto` takes for minutes. Each part is that with one change, and has as many steps as cost what the
base's `--steps` cost here, by turns that are measured side by side on one thread: a part that makes a step twice as
dear has half the steps. Among them are the papers' ways to learn faster: `split` (Fast-MoCo's patches,
arXiv:2207.08220), `small views` (SwAV's crops, arXiv:2006.09882), `growing size` and `cycles` (arXiv:2212.05611), hard
negatives (arXiv:2010.04592). Some are no field of a recipe, because they did not pay here; they are written out in
this file:

- `growing views`: crops from 70 %, then halfway, then the views (a curriculum of strength);
- `a tenth alike`: of negatives weighted by exp(similarity / tau), the share that is held to be of the query's class is
  taken off (arXiv:2010.04592, equation 4, with its constants for CIFAR-10; the weights alone are `--loss.hardness`);
- `mixed negatives`: as many again, mixed from pairs of the hardest eighth, and a quarter of that mixed with the query
  (MoCHi, arXiv:2010.01028, section 4; its 1,024 of 16,384 and 1,024 + 128 in proportion), from a tenth of the run on;
- `temperature 0.2 to 0.07`, falling by a cosine; `temperature 0.1 to 1, five times`, as for long tails of classes
  (arXiv:2303.13664, equation 2: five periods of a cosine).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from measure import Rows
from policies import Set
from torch.nn import functional as F

from moco.data.loader import MemoryLoader, Plan
from moco.device import place
from moco.machine import Machine
from moco.ops.info_nce import Contrast, info_nce
from moco.optim import set_learning_rate_
from moco.recipe import override, v2
from moco.recipe.views import CIFAR, named_views
from moco.shuffle import views_of
from moco.training import Training, build_training, train_step
from moco.two_views import Views

BASE = {
    "encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32, "batch": 128, "optim.lr": 0.03,
    "encoder.norm_group": 32, "dictionary.size": 512, "loss.temperature": 0.1, "keys.m": 0.99, "schedule.per": "step",
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A change of the recipe, or what is done otherwise in a step."""

    changes: dict[str, Any] = field(default_factory=dict)
    growing: bool = False
    warm: bool = True
    loss: Callable[..., torch.Tensor] | None = None
    """Of queries, what they are contrasted with, the temperature, and the share of the run that is done."""
    temperature: Callable[[float], float] | None = None
    """By the share of the run that is done."""
    views: str = ""
    """Other views than the set's; `cifar`: the official demo's."""


def debiased(q: torch.Tensor, contrast: Contrast, tau: float, done: float) -> torch.Tensor:
    """Negatives weighted by exp(q.k / tau), and a tenth of them taken for positives."""
    positive = ((q * contrast.key.float()).sum(dim=1) / tau).exp()
    negative = (q @ contrast.others.float().T / tau).exp()
    weight = negative.detach()
    mean_of = (weight * negative).sum(dim=1) / weight.sum(dim=1)
    beyond = negative.shape[1] * ((mean_of - 0.1 * positive) / 0.9).clamp_min(math.exp(-1 / tau))
    return -(positive / (positive + beyond)).log().mean()


def mixed_negatives(q: torch.Tensor, contrast: Contrast, tau: float, done: float) -> torch.Tensor:
    """InfoNCE with more negatives, made of the hardest ones, and of those and the query; not in the first tenth."""
    others = contrast.others.float()
    similar = q @ others.T
    logits = [(q * contrast.key.float()).sum(dim=1, keepdim=True), similar]
    if done >= 0.1:
        with torch.no_grad():
            hardest = others[similar.topk(similar.shape[1] // 8).indices]  # N x H x C
            number = hardest.shape[1]
            one, two = (hardest[:, torch.randint(number, (number,))] for _ in range(2))
            share = torch.rand(len(q), number, 1)
            few = number // 4
            toward = 0.5 * torch.rand(len(q), few, 1)
            made = share * one + (1 - share) * two
            near = toward * q.detach()[:, None] + (1 - toward) * hardest[:, torch.randint(number, (few,))]
            made = F.normalize(torch.cat([made, near], dim=1), dim=2)
        logits.append(torch.einsum("nc,nhc->nh", q, made))
    return F.cross_entropy(torch.cat(logits, dim=1) / tau, torch.zeros(len(q), dtype=torch.int64))


def falling(done: float) -> float:
    """Temperature from 0.2 to 0.07 by half a cosine."""
    return 0.07 + 0.13 * (1 + math.cos(math.pi * done)) / 2


def swinging(done: float) -> float:
    """Temperature from 1 to 0.1 and back, five times."""
    return 0.1 + 0.9 * (1 + math.cos(2 * math.pi * 5 * done)) / 2


KNN = "kNN, backbone"

SMALL = {"queries.small_size": 20, "queries.small_scale": (0.1, 0.5)}

PARTS = {
    "base": Part(),
    "half the rate": Part({"optim.lr": 0.015}),
    "twice the rate": Part({"optim.lr": 0.06}),
    "four times the rate": Part({"optim.lr": 0.12}),
    "no warm-up": Part(warm=False),
    "symmetric": Part({"loss.symmetric": True}),
    "symmetric, twice the rate": Part({"loss.symmetric": True, "optim.lr": 0.06}),
    "BatchNorm in the head": Part({"encoder.head_norm": True}),
    "temperature 0.2": Part({"loss.temperature": 0.2}),
    "temperature 0.07": Part({"loss.temperature": 0.07}),
    "batch 64": Part({"batch": 64}),
    "batch 512, K 1024": Part({"batch": 512, "dictionary.size": 1024, "optim.lr": 0.06}),
    "K 128": Part({"dictionary.size": 128}),
    "m 0.999": Part({"keys.m": 0.999}),
    "m 0.98": Part({"keys.m": 0.98}),
    "decay 5e-4": Part({"optim.weight_decay": 5e-4}),
    "small stem": Part({"encoder.stem": "small"}),
    "twice as wide": Part({"encoder.backbone": "resnet10w32"}),
    "four times as wide": Part({"encoder.backbone": "resnet10w64"}),
    "48 px": Part({"image_size": 48}),
    "48 px, twice as wide": Part({"image_size": 48, "encoder.backbone": "resnet10w32"}),
    "split": Part({"queries.patches": 2}),
    "small views 2": Part(SMALL | {"queries.small": 2}),
    "small views 4": Part(SMALL | {"queries.small": 4}),
    "growing size": Part({"first_sizes": (16, 24)}),
    "growing views": Part(growing=True),
    "cycles": Part({"schedule.cycles": 3}),
    "hard negatives 0.5": Part({"loss.hardness": 0.5}),
    "hard negatives 0.25": Part({"loss.hardness": 0.25}),
    "hard negatives 0.5, temperature 0.15": Part({"loss.temperature": 0.15, "loss.hardness": 0.5}),
    "hard negatives 1": Part({"loss.hardness": 1.0}),
    "hard negatives 2": Part({"loss.hardness": 2.0}),
    "hard negatives 1, a tenth alike": Part(loss=debiased),
    "mixed negatives": Part(loss=mixed_negatives),
    "temperature 0.2 to 0.07": Part(temperature=falling),
    "temperature 0.1 to 1, five times": Part(temperature=swinging),
    "linear head": Part({"encoder.head_layers": 1}),
    "views of the CIFAR demo": Part(views="cifar"),
    "all of cifar": Part(
        {
            "encoder.backbone": "resnet18",
            "encoder.stem": "small",
            "encoder.norm_group": 64,
            "batch": 512,
            "optim.lr": 0.06,
            "encoder.head_layers": 1,
            "optim.weight_decay": 5e-4,
            "schedule.per": "epoch",
            "dictionary.size": 1024,
        },
        views="cifar",
        warm=False,
    ),
}


class Run:
    """A training with one part."""

    def __init__(self, images: Set, views: str, part: Part, steps: int, seed: int, placement) -> None:
        self.images, self.part, self.steps = images, part, steps
        recipe = override(v2(), BASE | part.changes | {"epochs": None, "steps": steps, "seed": seed})
        warm = min(100, 0.1 * steps) * recipe.batch / len(images.source) if part.warm else 0.0
        self.recipe = replace(
            override(recipe, {"schedule.warmup_epochs": warm}),
            query_view=CIFAR if part.views == "cifar" else named_views(views),
        )
        self.t: Training = build_training(self.recipe, len(images.source), placement)
        self.stages = [Views(replace(self.recipe, **change)) for change in self._stages()]

    def _stages(self) -> list[dict[str, Any]]:
        if self.part.growing:
            view = self.recipe.query_view
            low = view.scale[0]
            return [{"query_view": replace(view, scale=(max(low, s), 1.0))} for s in (0.7, (low + 0.7) / 2, low)]
        return [{}]

    def step(self, batch) -> None:
        t, part = self.t, self.part
        t.views = self.stages[min(len(self.stages) - 1, len(self.stages) * t.step // self.steps)]
        if part.loss or part.temperature:
            self._own_step(batch)
        else:
            train_step(t, batch)

    def _own_step(self, batch) -> None:
        t, part, recipe = self.t, self.part, self.recipe
        x_q, x_k = views_of(t.views, t.placement, batch, 1)
        with t.placement.autocast():
            (turn,) = t.model.turns(x_q, x_k, t.step)
            q = turn.ask(slice(0, len(x_q)))
        index, done = torch.as_tensor(batch.index), t.step / self.steps
        tau = part.temperature(done) if part.temperature else recipe.loss.temperature
        met = t.dictionary.look_up(q, turn.keys, index, t.step)
        loss = part.loss(q, met, tau, done) if part.loss else info_nce(q, met, tau, t.summed).loss
        set_learning_rate_(t.optimizer, t.lr)
        t.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        t.optimizer.step()
        t.model.momentum_update(recipe.keys.m)
        t.dictionary.update(q.detach(), turn.keys, index)
        t.step += 1

    def batches(self):
        return MemoryLoader(self.images.memory).batches(Plan.of(self.recipe, self.images.source), 0)

    def cost(self, steps: int) -> float:
        """Seconds of processor for a step, the median."""
        took = []
        for batch in itertools.islice(self.batches(), steps + 2):
            start = time.process_time()
            self.step(batch)
            took.append(time.process_time() - start)
        return mean(took[2:]) if self.recipe.first_sizes or len(self.stages) > 1 else median(took[2:])


def measured(images: Set, views: str, name: str, steps: int, seed: int, placement) -> dict[str, Any]:
    part = PARTS[name]
    own, base = [], []
    for _ in range(2):  # by turns
        base.append(Run(images, views, PARTS["base"], 12, 0, placement).cost(8))
        own.append(Run(images, views, part, 14, 0, placement).cost(12 if "first_sizes" in part.changes else 8))
    ratio = 1.0 if name == "base" else min(own) / min(base)
    run = Run(images, views, part, max(10, round(steps / ratio)), seed, placement)
    start = time.process_time()
    for batch in run.batches():
        run.step(batch)
    spent = time.process_time() - start
    judged = {"query": images.judge(run.t.model.query_encoder.eval())}
    judged["key"] = images.judge(run.t.model.key_encoder.eval())
    return {"cost of a step": round(ratio, 3), "steps": run.steps, "cpu seconds": round(spent, 1), "judged": judged}


def table(rows: list[dict[str, Any]]) -> None:
    """Points of kNN above the base of the same seed, set by set (means of the seeds), and over all with standard error.

    The last column has the points with few labels. In brackets is the kNN itself, where the base was not measured. The
    last rows are the key encoders of the base and of `split`, whose weights are a moving average of the query encoder's
    and whose BatchNorm sees whole views.
    """
    kept = [row for row in rows if row["part"] in ("base", "split")]
    judged_keys = [{"part": row["part"] + ", key encoder", "judged": {"query": row["judged"]["key"]}} for row in kept]
    rows = [*rows, *(row | keys for row, keys in zip(kept, judged_keys, strict=True))]
    sets = list(dict.fromkeys((row["set"], row["base steps"]) for row in rows))
    judged = {(row["part"], row["set"], row["base steps"], row["seed"]): row["judged"]["query"] for row in rows}
    heads = ["part", "cost of a step", *(f"{name}, {steps}" for name, steps in sets), "mean", "few labels"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for part in dict.fromkeys(row["part"] for row in rows):
        cost = median(row["cost of a step"] for row in rows if row["part"] == part)
        cells, gains, few = [], [], []
        for place_ in sets:
            own = {key[-1]: found for key, found in judged.items() if key[:-1] == (part, *place_)}
            pairs = [
                (found, judged["base", *place_, seed])
                for seed, found in own.items()
                if ("base", *place_, seed) in judged
            ]
            own_knn = np.mean([100 * found[KNN] for found in own.values()]) if own else 0.0
            gain = [100 * (a[KNN] - b[KNN]) for a, b in pairs]
            known = f"{own_knn:.1f}" if part == "base" else f"{np.mean(gain):+.1f}" if gain else f"({own_knn:.1f})"
            cells.append(known if own else "")
            gains += gain
            few += [100 * (a["few labels"] - b["few labels"]) for a, b in pairs]
        print(f"| {part} | {cost:.2f} | {' | '.join([*cells, *map(_spread, (gains, few))])} |")


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:+.1f}" if values else ""
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("parts.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    placement = place(Machine(device="cpu", threads=1))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, rest = text.partition("=")
        train, test, views = rest.split(",")
        wanted = [
            {"set": name, "views": views, "part": part, "base steps": asked.steps, "seed": asked.seed}
            for part in asked.parts
        ]
        left = [row for row in wanted if not rows.found(**row)]
        images = Set(name, train, test, placement) if left else None
        for row in left:
            rows.add(row | measured(images, views, row["part"], asked.steps, asked.seed, placement))
            print(json.dumps(rows[-1]), flush=True)
    table(rows)


if __name__ == "__main__":
    main()
