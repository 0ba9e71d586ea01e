"""Which score without labels orders sets of views as labels do: one short pretraining for each policy on each set.

    python benchmarks/policies.py --steps 160 --out policies.json NAME=TRAIN,TEST ...

TRAIN and TEST are labelled folders. Each policy trains the same small network for so many steps; then every score is
taken on a sample of training images, and kNN and a probe with few labels on the test images. Goes on where it stopped.
`--table policies.json` prints rank correlations (Spearman) of each score with kNN and with few labels, set by set.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measure import Rows
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from moco.auto.verdict import CLEAR
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.data.open import open_labelled
from moco.data.source import sample
from moco.device import Placement, place
from moco.machine import Machine
from moco.ops.scores import alignment, effective_rank, lidar, uniformity
from moco.ops.whiten import whitened
from moco.preprocess import Preprocess
from moco.protocols.knn import knn_accuracy
from moco.recipe import Recipe, View, override, v2
from moco.recipe.drawn import Blur, Jitter
from moco.recipe.views import CIFAR, DOCUMENTS, MICROSCOPY, SATELLITE, SIMCLR, V1, V2
from moco.scores.retrieval import retrieval_accuracy
from moco.scores.rotation import rotation_accuracy, turned
from moco.training import build_training, train_step
from moco.two_views import Views

PLAIN = Jitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=0.0)
LIGHT = Jitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05)
CROP = View(scale=(0.4, 1.0), flip=0.0, jitter=PLAIN, gray=0.0, blur=Blur(p=0.0))

POLICIES: dict[str, View] = {
    "documents": DOCUMENTS,
    "documents, flips": replace(DOCUMENTS, flip=0.5),
    "documents, crops 0.2": replace(DOCUMENTS, scale=(0.2, 1.0)),
    "documents, crops 0.7": replace(DOCUMENTS, scale=(0.7, 1.0)),
    "documents, turns": replace(DOCUMENTS, turn=0.75),
    "documents, blur": replace(DOCUMENTS, blur=Blur(p=0.5)),
    "crops 0.4": CROP,
    "crops 0.2": replace(CROP, scale=(0.2, 1.0)),
    "crops 0.08": replace(CROP, scale=(0.08, 1.0)),
    "crops 0.2, flips": replace(CROP, scale=(0.2, 1.0), flip=0.5),
    "jitter alone": replace(V2, scale=(0.9, 1.0), flip=0.0, blur=Blur(p=0.0)),
    "photos": V2,
    "photos, crops 0.4": replace(V2, scale=(0.4, 1.0)),
    "photos, crops 0.08": replace(V2, scale=(0.08, 1.0)),
    "photos, half jitter": replace(V2, jitter=LIGHT, gray=0.1),
    "photos, half jitter, crops 0.4": replace(V2, jitter=LIGHT, gray=0.1, scale=(0.4, 1.0), blur=Blur(p=0.0)),
    "photos, no colour changes": replace(V2, jitter=PLAIN, gray=0.0),
    "photos, no blur": replace(V2, blur=Blur(p=0.0)),
    "photos, no gray": replace(V2, gray=0.0),
    "photos, half gray": replace(V2, gray=0.5),
    "photos, turns": replace(V2, turn=0.75),
    "v1": V1,
    "cifar": CIFAR,
    "simclr": SIMCLR,
    "microscopy": MICROSCOPY,
    "satellite": SATELLITE,
}

REFERENCES = {"documents": DOCUMENTS, "photos": V2, "photos, crops 0.4": POLICIES["photos, crops 0.4"]}
"""Views that all encoders are compared under."""

SCORED = 512


def base(steps: int) -> Recipe:
    changes = {
        "encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32, "batch": 128, "optim.lr": 0.03,
        "encoder.norm_group": 32, "dictionary.size": 512, "loss.temperature": 0.1, "keys.m": 0.98,
        "schedule.per": "step", "epochs": None, "steps": steps,
    }  # fmt: skip
    return override(v2(), changes)


class Set:
    """The images of one set: in memory to train on, a sample to score, labelled ones to judge by."""

    def __init__(self, name: str, train: str, test: str, placement: Placement) -> None:
        self.name, self.placement = name, placement
        known, judged = open_labelled(train), open_labelled(test)
        self.source = known.source
        memory, _ = load_memory(self.source, 2)
        assert memory is not None
        self.memory = memory
        self.centre = Preprocess(32, v2().normalize)
        self.known, self.judged = known, judged
        self.pixels = {id(k): self._centres(k.source) for k in (known, judged)}
        self.index = sample(self.source, SCORED)

    def _centres(self, source) -> Tensor:
        from moco.data.decode import decode

        return torch.stack([self.centre.centre(decode(source.raw(i))) for i in range(len(source))])

    def embed(self, net, x: Tensor) -> Tensor:
        layout = self.placement.memory_format if x.ndim == 4 else torch.contiguous_format
        with torch.no_grad(), self.placement.autocast():
            return torch.cat([net(part.contiguous(memory_format=layout)).float() for part in x.split(256)])

    def train(self, view: View, steps: int, seed: int):
        recipe = replace(base(steps), query_view=view, seed=seed)
        t = build_training(recipe, len(self.source), self.placement)
        losses, accuracies = [], []
        for batch in MemoryLoader(self.memory).batches(Plan.of(recipe, self.source), 0):
            loss = train_step(t, batch)
            losses.append(float(loss.loss))
            accuracies.append(float(loss.accuracy))
        tail = max(1, steps // 5)
        return t.model.query_encoder.eval(), {
            "own loss": -float(np.mean(losses[-tail:])),
            "own contrast accuracy": float(np.mean(accuracies[-tail:])),
        }

    def scores(self, encoder, view: View) -> dict[str, float]:
        centres = self.pixels[id(self.known)][torch.from_numpy(self.index)]
        x = self.centre.normalise(centres)
        found = {}
        turns = self.embed(encoder.backbone, turned(x))
        found["rotation"] = rotation_accuracy(turns)
        features = turns[: len(x)]
        found["effective rank"] = float(effective_rank(features))
        values = torch.linalg.svdvals(features - features.mean(dim=0)).double().clamp_min(1e-9) ** 2
        n = min(len(values), 60)
        slope = np.polyfit(np.log(np.arange(2, n)), np.log(values[2:n].numpy()), 1)[0]
        found["alpha-ReQ"] = -abs(-slope - 1)
        for name, reference in {"own": view, **REFERENCES}.items():
            a, b = self._pair(encoder, reference, 0)
            c, d = self._pair(encoder, reference, 1)
            for kind in range(2):
                where = f"{name} views, {'backbone' if kind == 0 else 'head'}"
                found[f"retrieval: {where}"] = retrieval_accuracy(a[kind], b[kind])
                unit = [F.normalize(v[kind], dim=1) for v in (a, b)]
                found[f"alignment: {where}"] = -float(alignment(*unit))
                found[f"uniformity: {where}"] = -float(uniformity(unit[0]))
                logits = unit[0] @ unit[1].T / 0.1
                found[f"InfoNCE: {where}"] = -float(F.cross_entropy(logits, torch.arange(len(logits))))
                views = torch.stack([v[kind] for v in (a, b, c, d)], dim=1)
                found[f"LiDAR: {where}"] = float(lidar(views))
            found[f"retrieval: {name} views, whitened"] = retrieval_accuracy(
                whitened(a[0], features), whitened(b[0], features)
            )
        return found

    def _pair(self, encoder, view: View, epoch: int):
        views = Views(replace(base(1), query_view=view, seed=1))
        made = []
        for rows in np.array_split(self.index, 4):
            pixels, sizes = self.memory.batch(rows)
            made.append(views(pixels, sizes, rows, (1 << 40) + epoch))
        out = []
        for x in map(torch.cat, zip(*made, strict=True)):
            features = self.embed(encoder.backbone, x)
            out.append((features, self.embed(encoder.head, features)))
        return out

    def judge(self, encoder) -> dict[str, float]:
        feats = {}
        for k in (self.known, self.judged):
            f = self.embed(encoder.backbone, self.centre.normalise(self.pixels[id(k)]))
            feats[id(k)] = {"backbone": f, "head": self.embed(encoder.head, f)}
        for k in (self.judged, self.known):
            feats[id(k)]["whitened"] = whitened(feats[id(k)]["backbone"], feats[id(self.known)]["backbone"])
        return judged(feats[id(self.known)], self.known.labels, feats[id(self.judged)], self.judged.labels)

    def raw(self) -> dict[str, float]:
        a, b = (self.pixels[id(k)].flatten(1).float() / 255 for k in (self.known, self.judged))
        return judged({"pixels": a}, self.known.labels, {"pixels": b}, self.judged.labels)


def judged(known, labels, test, truth) -> dict[str, float]:
    classes = int(labels.max()) + 1
    found = {}
    for kind in known:
        a, b = (F.normalize(v, dim=1) for v in (known[kind], test[kind]))
        found[f"kNN, {kind}"] = knn_accuracy(b, truth, classes, k=20, temperature=0.07, bank=(a, labels))
    kind = next(iter(known))
    found["few labels"] = few(known[kind], labels, test[kind], truth, classes)
    return found


def few(known: Tensor, labels, test: Tensor, truth, classes: int, per_class: int = 5, draws: int = 5) -> float:
    """Ridge on 5 labels a class, mean of 5 draws."""
    mean, std = known.mean(dim=0), known.std(dim=0).clamp_min(1e-6)
    x, y = (known - mean) / std, (test - mean) / std
    shares = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        rows = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(classes)])
        a, t = x[rows], F.one_hot(torch.from_numpy(labels[rows]), classes).float() - 1 / classes
        kernel = a @ a.T + 0.1 * x.shape[1] * torch.eye(len(a))
        guess = (y @ (a.T @ torch.linalg.solve(kernel, t))).argmax(dim=1)
        shares.append(float((guess.numpy() == truth).mean()))
    return float(np.mean(shares))


TOGETHER = {
    "views found again (three common sets, head)": (
        "retrieval: documents views, head",
        "retrieval: photos views, head",
        "retrieval: photos, crops 0.4 views, head",
    ),
    "rotation and own contrast accuracy": ("rotation", "own contrast accuracy"),
    "both": ("rotation", "views found again (three common sets, head)"),
}
"""Scores that are the sum of others, each in standard deviations over the policies of a set."""


def table(path: Path) -> None:
    rows = [r for r in json.loads(path.read_text())["rows"] if r["policy"] in POLICIES]
    sets = list(dict.fromkeys(r["set"] for r in rows))
    for some in by_set(rows).values():
        for name, parts in TOGETHER.items():
            whole = sum(standard([r["scores"][part] for r in some]) for part in parts)
            for row, value in zip(some, whole, strict=True):
                row["scores"][name] = float(value)
    for target in ("kNN, backbone", "few labels"):
        print(f"\nrank correlation with {target}")
        means = {}
        for score in rows[0]["scores"]:
            found = []
            for name in sets:
                some = [r for r in rows if r["set"] == name]
                found.append(
                    spearmanr([r["scores"][score] for r in some], [r["judged"][target] for r in some]).statistic
                )
            means[score] = found
        for score, found in sorted(means.items(), key=lambda item: -np.mean(item[1])):
            print(
                f"{score:44s} {np.mean(found):5.2f}   "
                + "  ".join(f"{s} {v:5.2f}" for s, v in zip(sets, found, strict=True))
            )
        print(f"\npoints of {target} below the best policy, of the one that is chosen, mean over sets")
        for score in rows[0]["scores"]:
            print(f"{score:44s} {np.mean([lost(some, target, score) for some in by_set(rows).values()]):5.1f}")
        for policy in POLICIES:
            gaps = [below(some, target, [r["policy"] == policy for r in some]) for some in by_set(rows).values()]
            print(f"always {policy:37s} {np.mean(gaps):5.1f}")
    best = defaultdict(dict)
    for r in rows:
        best[r["policy"]][r["set"]] = r["judged"]["kNN, backbone"]
    print()
    for policy, found in best.items():
        print(f"{policy:32s} " + "  ".join(f"{s} {100 * v:5.1f}" for s, v in found.items()))
    told(json.loads(path.read_text())["rows"])


def told(rows: list[dict]) -> None:
    """How many of the runs whose rotation probe rose, and of the others, are better than untrained by kNN."""
    start = {r["set"]: r for r in rows if r["policy"] == "untrained"}
    print()
    counts = defaultdict(list)
    for r in rows:
        if r["policy"] in POLICIES:
            before = start[r["set"]]
            rose = round(r["scores"]["rotation"] - before["scores"]["rotation"], 9) >= CLEAR
            counts[rose].append(r["judged"]["kNN, backbone"] > before["judged"]["kNN, backbone"])
    for rose, paid in counts.items():
        print(f"rotation {'rose' if rose else 'did not rise'} by {CLEAR:.0%}: {sum(paid)} of {len(paid)} runs paid")


def by_set(rows: list[dict]) -> dict[str, list[dict]]:
    """The rows of each set."""
    return {name: [r for r in rows if r["set"] == name] for name in dict.fromkeys(r["set"] for r in rows)}


def lost(rows: list[dict], target: str, score: str) -> float:
    """Points that the policy with the best score is below the best one."""
    first = max(range(len(rows)), key=lambda i: rows[i]["scores"][score])
    return below(rows, target, [i == first for i in range(len(rows))])


def below(rows: list[dict], target: str, which: list[bool]) -> float:
    """Points that the one of these policies is below the best."""
    (chosen,) = [r["judged"][target] for r, taken in zip(rows, which, strict=True) if taken]
    return 100 * (max(r["judged"][target] for r in rows) - chosen)


def standard(values: list[float]) -> np.ndarray:
    """In standard deviations from the mean."""
    found = np.array(values)
    return (found - found.mean()) / max(found.std(), 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--policy", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("policies.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(asked.table)
        return
    placement = place(Machine(device="cpu", threads=asked.threads))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, paths = text.partition("=")
        train, _, test = paths.partition(",")
        images = None
        for policy in ["pixels", "untrained", *(asked.policy or POLICIES)]:
            if rows.found(set=name, policy=policy):
                continue
            images = images or Set(name, train, test, placement)
            if policy == "pixels":
                row = {"judged": images.raw()}
            elif policy == "untrained":
                t = build_training(base(1), len(images.source), placement)
                row = {
                    "judged": images.judge(t.model.query_encoder.eval()),
                    "scores": images.scores(t.model.query_encoder, V2),
                }
            else:
                encoder, own = images.train(POLICIES[policy], asked.steps, asked.seed)
                row = {"judged": images.judge(encoder), "scores": own | images.scores(encoder, POLICIES[policy])}
            rows.add({"set": name, "policy": policy} | row, steps=asked.steps, seed=asked.seed)
            print(name, policy, {k: round(v, 3) for k, v in row["judged"].items()}, flush=True)


if __name__ == "__main__":
    main()
