"""When a run that is fitted to a time ends, from the command to the prompt, and how its rate had been told.

    python benchmarks/ends.py --times 75s 5m --out ends.json NAME=FOLDER ...   # NAME=FOLDER,--flag,value: with flags
    python benchmarks/ends.py --table ends.json

Every run is a process of its own, imports and report included. `measured` and `had` are images a second: what the plan
was made by, and what the run had in the mean, without its looks at the encoder. Goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from measure import Rows

from moco.auto.budget import seconds_of
from moco.run.directory import RunDirectory


def one(data: str, flags: list[str], asked: str) -> dict:
    """The seconds that it took, and its rates."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "moco", "pretrain", "--data", data, "--out", str(out), "--time", asked, *flags]
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - start
        run = RunDirectory(out)
        recipe, rates = run.recipe(), run.read("auto.json")["rates"]
        had = [row["images_per_second"] for row in map(json.loads, run.log.read_text().splitlines()) if "loss" in row]
        taken = recipe.encoder.backbone, recipe.encoder.stem, recipe.image_size
        (told,) = [r for r in rates if (r["network"]["backbone"], r["network"]["stem"], r["network"]["size"]) == taken]
        return {
            "took": round(took, 1),
            "network": " ".join(map(str, taken)),
            "steps": recipe.steps,
            "measured": round(1 / told["seconds"]),
            "had": round(len(had) / sum(1 / rate for rate in had)),
        }


def table(rows: list[dict]) -> None:
    """Seconds late, in percent of the time, for each run."""
    print("| images | time | took | late | measured | had |\n|---|---|---|---|---|---|")
    for row in rows:
        late = row["took"] / seconds_of(row["time"]) - 1
        print(f"| {row['set']} | {row['time']} | {row['took']} | {late:+.1%} | {row['measured']:,} | {row['had']:,} |")
    print(f"mean: {mean(row['took'] / seconds_of(row['time']) - 1 for row in rows):+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--times", nargs="+", default=["75s"])
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("ends.json"))
    parser.add_argument("--table", type=Path)
    asked = parser.parse_args()
    if asked.table:
        table(json.loads(asked.table.read_text())["rows"])
        return
    rows = Rows(asked.out)
    for turn in range(asked.turns):
        for text in asked.sets:
            name, _, rest = text.partition("=")
            data, *flags = rest.split(",")
            for length in asked.times:
                row = {"set": name, "time": length, "turn": turn}
                if not rows.found(**row):
                    rows.add(row | one(data, flags, length))
                    print(json.dumps(rows[-1]), flush=True)
    table(rows)


if __name__ == "__main__":
    main()
