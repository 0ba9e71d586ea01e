"""Of how few images can it be told that they have an up and a down?

    python benchmarks/turns_few.py --images 60 100 200 400 --draws 3 --out turns-few.json NAME=FOLDER ...
    python benchmarks/turns_few.py --table turns-few.json

The share of quarter turns that a linear probe finds in the features of an untrained network, and what is left where
each image is gray, for so many images drawn out of a folder, several times.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from measure import Rows

from moco.data.memory import load_memory
from moco.data.open import open_source
from moco.data.part import Part
from moco.data.source import Source
from moco.device import place
from moco.encoder import build_encoder
from moco.machine import Machine
from moco.recipe import override, v2
from moco.scores.probe import UPRIGHT, Probe, told_by_colour

RECIPE = override(v2(), {"encoder.backbone": "resnet10w16", "encoder.stem": "half", "image_size": 32})


def looked_at(source: Source, count: int, seed: int, placement) -> dict[str, float]:
    drawn = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])
    memory, _ = load_memory(Part(source, drawn, [""] * count, "a draw"), 1)
    torch.manual_seed(0)
    encoder, probe = build_encoder(RECIPE.encoder)[0], Probe(memory, RECIPE, placement)
    return {"rotation": probe(encoder)["rotation"], "without colour": probe.without_colour(encoder)}


def table(rows: list[dict]) -> None:
    """Turns found / without colour, by draw; what the run would say of them."""
    counts = sorted({row["images"] for row in rows})
    print(f"| | {' | '.join(map(str, counts))} |\n|---{'|---' * len(counts)}|")
    for name in dict.fromkeys(row["set"] for row in rows):
        cells = []
        for count in counts:
            found = [row for row in rows if (row["set"], row["images"]) == (name, count)]
            cells.append(", ".join(_shown(row["rotation"], row["without colour"], count) for row in found))
        print(f"| {name} | {' | '.join(cells)} |")


def _shown(turns: float, gray: float, images: int) -> str:
    said = "few" if turns < UPRIGHT else "colour" if told_by_colour(turns, gray, images) else ""
    return f"{100 * turns:.0f}/{100 * gray:.0f} {said}".strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--images", type=int, nargs="+", default=[60, 100, 200, 400])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("turns-few.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    placement = place(Machine(device="cpu", precision="fp32", threads=1))
    rows = Rows(asked.out)
    for text in asked.sets:
        name, _, folder = text.partition("=")
        source = open_source(Path(folder))
        for count in [count for count in asked.images if count <= len(source)]:
            for draw in range(asked.draws):
                row = {"set": name, "images": count, "seed": draw}
                if not rows.found(**row):
                    rows.add(row | looked_at(source, count, draw, placement))
    table(rows)


if __name__ == "__main__":
    main()
