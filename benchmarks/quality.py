"""What is learnt in a time: `auto` beside the papers' recipes and lightly, on the same machine, judged alike.

    python benchmarks/quality.py --time 5m --out quality.json NAME=FOLDER ...   # labelled: FOLDER/train, FOLDER/test
    python benchmarks/quality.py --time 5m --contestants auto@1/4 auto@1/10 cifar lightly ...
    python benchmarks/quality.py --table quality.json

Each contestant has the time from start to end, its judging not counted: `auto` by `--time`; `cifar` (the official
demo's recipe) and `v2` (untuned, with the network, stem and size that `auto` chose) by as many steps as a measurement
of their rate allows, their schedules fitted to it; `lightly` by `--lightly SCRIPT`, which trains for so many minutes
and prints a curve of kNN. `auto@1/4` has a quarter of the time. Judged by kNN (k = 20, weighted; backbone, whitened)
and by 5 labels a class (mean of draws), beside the same network untrained and the pixels. Goes on where it stopped.
Cores are those that the process may use (`taskset`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from statistics import mean, stdev

from measure import Rows

from moco.auto.budget import seconds_of, words
from moco.auto.rates import seconds_a_step
from moco.auto.trial import Trial
from moco.commands.choose import named_recipe
from moco.commands.evaluate import evaluate
from moco.commands.pretrain import pretrain
from moco.data.memory import load_memory
from moco.data.open import open_source
from moco.device import place
from moco.machine import Machine, cores
from moco.protocols.few_labels import FewLabels
from moco.protocols.knn import KNN
from moco.recipe import Recipe, override
from moco.run.directory import RunDirectory

JUDGES = (KNN(k=(20,), vote=("weighted",), features=("backbone", "whitened")), FewLabels(amounts=("5",)))


def with_queue(recipe: Recipe, images: int) -> Recipe:
    """With a queue and a batch that so many images allow, where they are fewer than the recipe's own."""
    batch = min(recipe.batch, 1 << ((images // 4).bit_length() - 1))
    group = min(recipe.encoder.norm_group or batch, batch)
    queue = min(recipe.dictionary.size, 1 << ((images - 1).bit_length() - 1))
    return override(recipe, {"batch": batch, "encoder.norm_group": group, "dictionary.size": queue})


def of_length(recipe: Recipe, data: Path, seconds: float, machine: Machine) -> Recipe:
    """The recipe with as many steps as fit, by its rate here."""
    memory, _ = load_memory(open_source(data), machine.decoders)
    assert memory is not None, "images are to fit into memory"
    recipe = override(with_queue(recipe, len(memory)), {"epochs": None, "steps": 10_000})
    step = seconds_a_step(Trial(recipe, memory, place(machine), machine, None))
    return override(recipe, {"steps": max(1, int(seconds / step))})


def judged(out: Path, data: Path, machine: Machine) -> dict[str, dict[str, float]]:
    """Of this encoder, untrained and pixels: each judge's numbers in percent."""
    found: dict[str, dict[str, float]] = {}
    for result in evaluate(out, None, JUDGES, train=data / "train", test=data / "test", machine=machine):
        for row, cells in result.rows.items():
            found.setdefault(row, {})[result.protocol] = round(100 * cells[0].value, 2)
    return found


def ours(name: str, data: Path, seconds: float, seed: int, machine: Machine, network: dict | None) -> dict:
    train = data / "train"
    with tempfile.TemporaryDirectory() as folder:
        out, start = Path(folder) / "run", time.monotonic()
        if name.startswith("auto"):
            pretrain(train, out, "auto", time=f"{seconds:.0f}s", changes={"seed": seed}, machine=machine)
        else:
            recipe = replace(named_recipe(name), seed=seed)
            if name == "v2":
                assert network is not None, "v2 takes auto's network: name auto before it"
                recipe = override(recipe, network)
            pretrain(train, out, of_length(recipe, train, seconds, machine), machine=machine)
        took = time.monotonic() - start
        recipe = RunDirectory(out).recipe()
        return {
            "took": took,
            "network": {
                "encoder.backbone": recipe.encoder.backbone,
                "encoder.stem": recipe.encoder.stem,
                "image_size": recipe.image_size,
            },
            "views": RunDirectory(out).read("auto.json").get("views", {}),
            "steps": recipe.steps,
            "batch": recipe.batch,
            "judged": judged(out, data, machine),
        }


def lightly(script: Path, data: Path, seconds: float, seed: int) -> dict:
    command = [sys.executable, str(script), "--data", str(data / "train"), "--knn", str(data), "--seed", str(seed)]
    command += ["--minutes", str(seconds / 60), "--variant", "cifar", "--batch", "128", "--points", "4"]
    command += ["--workers", str(cores()), "--threads", str(cores())]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
    curve = json.loads(found)["curve_minutes_images_knn"]
    return {"curve": curve, "judged": {"this encoder": {"knn": curve[-1][2]}, "untrained": {"knn": curve[0][2]}}}


def table(rows: list[dict]) -> None:
    """Mean over seeds, with the spread where there are several."""

    def shown(values: list[float]) -> str:
        if not values:
            return "-"
        return f"{mean(values):.1f}" + (f" +- {stdev(values):.1f}" if len(values) > 1 else "")

    print("| set | who | seconds | seeds | kNN | whitened | 5 labels | views |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["set"] for row in rows):
        some = [row for row in rows if row["set"] == name]
        beside = [row for row in some if row["who"].startswith("auto")][:1]
        for who in dict.fromkeys((row["who"], row["seconds"]) for row in some):
            found = [row for row in some if (row["who"], row["seconds"]) == who]
            columns = [
                shown([row["judged"][key][judge] for row in found if judge in row["judged"].get(key, {})])
                for key, judge in WHAT
            ]
            views = ", ".join(dict.fromkeys((row.get("views") or {}).get("views", "") for row in found))
            print(f"| {name} | {who[0]} | {who[1]:.0f} | {len(found)} | {' | '.join(columns)} | {views} |")
        for other in ("untrained", "pixels"):
            kinds = (("", "knn"), (", whitened", "knn"), ("", "few-labels"))
            columns = [
                shown(
                    [
                        row["judged"][other + kind][judge]
                        for row in beside
                        if judge in row["judged"].get(other + kind, {})
                    ]
                )
                for kind, judge in kinds
            ]
            print(f"| {name} | {other} | | | {' | '.join(columns)} | |")


WHAT = (("this encoder", "knn"), ("this encoder, whitened", "knn"), ("this encoder", "few-labels"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--time", default="5m")
    parser.add_argument("--contestants", nargs="+", default=["auto", "v2", "cifar"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--lightly", type=Path)
    parser.add_argument("--out", type=Path, default=Path("quality.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    machine, whole = Machine(), seconds_of(asked.time)
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, folder = text.partition("=")
        for seed in asked.seeds:
            network = None  # of `auto`
            for who in asked.contestants:
                kind, _, share = who.partition("@")
                seconds = float(whole * Fraction(share or 1))
                wanted = {"set": name, "who": kind, "seconds": seconds, "seed": seed}
                if row := rows.found(**wanted):
                    network = row["network"] if kind == "auto" else network
                    continue
                if kind == "lightly":
                    row = lightly(asked.lightly, Path(folder), seconds, seed)
                else:
                    row = ours(kind, Path(folder), seconds, seed, machine, network)
                    network = row["network"] if kind == "auto" else network
                rows.add(wanted | row)
                print(name, who, words(seconds), seed, row["judged"], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
