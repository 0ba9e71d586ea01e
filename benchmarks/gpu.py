"""Everything about speed on a CUDA GPU, in one command: a table, and JSON in benchmarks/results/.

    pip install -e '.[fast]' lightly kornia        # peers that are missing are left out and named
    python benchmarks/gpu.py --data cifar10_jpg.zip --photos photos/

`--data` is CIFAR-10 as files (train/<class>/x.jpg and test/<class>/x.jpg), a folder or a zip; `--photos` a folder of
large images, without which the parts about them are left out. Sections, each kept as soon as it is done (`--only`
names some): norms, loss, encoders, views, step, peers, asymmetric, symmetric. The last two train for 200 epochs, ours
and a plain port of the official demo, and compare their kNN at six epochs; with the port's PIL views this takes hours.

    python benchmarks/gpu.py --smoke     # every section on the CPU in small, on images drawn here: no figures to quote
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import gpu_parts
import numpy as np
import torch
from gpu_curve import EPOCHS, curve
from measure import matrix_rate, processor, show, versions
from PIL import Image

from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine

HERE = Path(__file__).parent
SMOKE = {"batch": 16, "encoder.norm_group": 8, "encoder.backbone": "resnet10w8", "encoder.stem": "small",
         "image_size": 32}  # fmt: skip
Section = Callable[[], dict[str, object]]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="CIFAR-10 as files: a folder or a zip")
    parser.add_argument("--photos", type=Path, help="a folder of large images")
    parser.add_argument("--only", nargs="+", help="some of the sections")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--smoke", action="store_true", help="everything in small on the CPU")
    parser.add_argument("--turns", type=int, default=10)
    a = parser.parse_args()
    if not a.smoke and (not torch.cuda.is_available() or a.data is None):
        parser.error("needs a CUDA GPU and --data; --smoke tries everything in small on a CPU")
    with tempfile.TemporaryDirectory() as room:
        data = small_images(Path(room)) if a.smoke else folder_of(a.data, Path(room))
        sections = smoke(data, Path(room)) if a.smoke else full(data, a.photos, Path(room), a.turns)
        chosen = {name: one for name, one in sections.items() if a.only is None or name in a.only}
        name = "gpu-smoke" if a.smoke else "gpu-" + re.sub(r"\W+", "-", processor()).strip("-").lower()
        a.out.mkdir(parents=True, exist_ok=True)
        sys.exit(work_through(chosen, a.out / f"{name}.json"))


def work_through(sections: dict[str, Section], path: Path) -> int:
    """Run each, show it, and keep what is there; how many failed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = 8192 if device.type == "cuda" else 256
    results: dict[str, object] = {**versions(), "bf16_tflops": round(matrix_rate(device, side=side) / 1e12, 2)}
    show(results)
    failed = 0
    for name, section in sections.items():
        print(f"\n{name}", flush=True)
        try:
            found = section()
        except (RuntimeError, MocoError, OSError, subprocess.CalledProcessError) as error:
            found = {"failed": str(error)[-2000:]}
            failed += 1
        show(found)
        results[name] = found
        path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{path}")
    return failed


def full(data: Path, photos: Path | None, room: Path, turns: int) -> dict[str, Section]:
    """What a GPU is measured by."""
    device = torch.device("cuda")
    large = {"batch": 128, "encoder.backbone": "resnet50"}
    small = {"batch": 512, "encoder.backbone": "resnet18", "encoder.stem": "small", "image_size": 32}

    def encoders() -> dict[str, object]:
        placement = place(Machine(device="cuda"))
        found = {"placement": placement.reason}
        for name, changes in (("resnet18", small), ("resnet50", large)):
            found |= {f"{name}_{k}": v for k, v in gpu_parts.encoders(placement, changes, turns).items()}
        return found

    def peers() -> dict[str, object]:
        found = named("small", script("peers.py", "small", "--data", data / "train", "--workers", 8))
        return found | (named("large", script("peers.py", "large", "--data", photos, "--workers", 8)) if photos else {})

    return {
        "norms": lambda: gpu_parts.norms(device, 512, 64, turns),
        "loss": lambda: gpu_parts.loss(device, 256, 65536, turns),
        "encoders": encoders,
        "views": lambda: (
            named("32px", gpu_parts.views(device, 512, 32, turns))
            | named("224px", gpu_parts.views(device, 128, 224, turns))
        ),
        "step": lambda: (
            named("resnet18", script("step.py", "--batch", 512, "--norm-group", 64))
            | named("resnet50", script("step.py", "--arch", "resnet50", "--size", 224, "--batch", 128))
        ),
        "peers": peers,
        "asymmetric": lambda: curve(data, room / "asymmetric", EPOCHS, False, Machine(), {}),
        "symmetric": lambda: curve(data, room / "symmetric", EPOCHS, True, Machine(), {}),
    }


def smoke(data: Path, room: Path) -> dict[str, Section]:
    """The same sections with little in them."""
    device = torch.device("cpu")
    machine = Machine(device="cpu", precision="fp32", threads=torch.get_num_threads(), workers=1)
    tiny = {**SMOKE, "encoder.backbone": "resnet18", "dictionary.size": 64, "knn.k": 5}  # the port has no other
    here = ("--turns", 1, "--device", "cpu")
    step = ("step.py", "--batch", 8, "--norm-group", 4, "--queue", 64, *here)
    peers = ("peers.py", "tiny", "--data", data / "train", "--workers", 1, *here)
    return {
        "norms": lambda: gpu_parts.norms(device, 16, 8, 1, torch.float32),
        "loss": lambda: gpu_parts.loss(device, 16, 512, 1),
        "encoders": lambda: gpu_parts.encoders(place(machine), SMOKE, 1),
        "views": lambda: gpu_parts.views(device, 16, 32, 1),
        "step": lambda: script(*step),
        "peers": lambda: script(*peers),
        "asymmetric": lambda: curve(data, room / "asymmetric", (1, 2), False, machine, tiny),
        "symmetric": lambda: curve(data, room / "symmetric", (1, 2), True, machine, tiny),
    }


def script(name: str, *arguments: object) -> dict[str, object]:
    """Another benchmark in a process of its own, by its last line."""
    command = [sys.executable, str(HERE / name), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def named(prefix: str, found: dict[str, object]) -> dict[str, object]:
    """The same under longer names."""
    return {f"{prefix}_{name}": value for name, value in found.items()}


def folder_of(data: Path, room: Path) -> Path:
    """The folder with train/ and test/: `data`, or what is in the zip."""
    if data.is_file():
        with zipfile.ZipFile(data) as archive:
            archive.extractall(room / "data")
        data = room / "data"
    found: Sequence[Path] = [p.parent for p in [data / "train", *sorted(data.glob("*/train"))] if p.is_dir()]
    if not found or not (found[0] / "test").is_dir():
        raise SystemExit(f"{data} has no train/ and test/ with a folder for each class")
    return found[0]


def small_images(room: Path) -> Path:
    """Noise of two colours, 32 px, in folders, for a trial."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 80), ("test", 20)):
        for i in range(count):
            folder = room / "data" / part / ("red", "blue")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 128, (32, 32, 3), dtype=np.uint8)
            pixels[..., 2 * (i % 2)] += 100
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return room / "data"


if __name__ == "__main__":
    main()
