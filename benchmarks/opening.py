"""Peak memory and time of opening a checkpoint, beside the size of its file.

    python benchmarks/opening.py                 a resumable official checkpoint of R50w2x (1.1 GB) is made, and opened
    python benchmarks/opening.py --file x.pth    any file that moco.load takes

Each form is opened by a process of its own; the peak is what the system counted of its memory, less what the process
had before it opened the file. Pages of a mapped file count as the process's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from moco.backbones import make_backbone

OPEN = """
import re, sys, time
from pathlib import Path
from moco.run.load import open_encoder
def kib(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before, start = kib("VmRSS"), time.perf_counter()
open_encoder(sys.argv[1])
print(kib("VmHWM") - before, time.perf_counter() - start)
"""
"""Linux counts the peak of a program from its start; what `getrusage` says begins with that of the process before."""


def official(path: Path, backbone: str, old: bool) -> None:
    """Both encoders, the queue and the solver, as main_moco.py saves them."""
    net = make_backbone(backbone)
    names = {"module.queue": torch.zeros(128, 65536), "module.queue_ptr": torch.zeros(1, dtype=torch.int64)}
    for encoder in ("encoder_q", "encoder_k"):
        names |= {f"module.{encoder}.{k}": v.clone() for k, v in net.state_dict().items()}
    solver = {n: {"momentum_buffer": torch.zeros_like(p)} for n, p in enumerate(net.parameters())}
    content = {"epoch": 200, "arch": "resnet50", "state_dict": names, "optimizer": {"state": solver}}
    torch.save(content, path, _use_new_zipfile_serialization=not old)


def measured(path: Path) -> tuple[float, float]:
    """(peak in bytes, seconds) of opening a file in a new process."""
    done = subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True)
    peak, seconds = done.stdout.split()
    return 1024 * float(peak), float(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--backbone", default="resnet50w128")
    options = parser.parse_args()
    print("| file | size | peak of opening | of its size | time |\n|---|---|---|---|---|")
    if options.file is not None:
        tell(options.file.name, options.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, old in (("torch 1.6 and later", False), ("before torch 1.6", True)):
            path = Path(folder) / "checkpoint_0199.pth.tar"
            official(path, options.backbone, old)
            tell(f"official, {options.backbone}, {name}", path)


def tell(name: str, path: Path) -> None:
    """A row of the table."""
    size = path.stat().st_size
    peak, seconds = measured(path)
    cells = (f"{size / 2**20:,.0f} MiB", f"{peak / 2**20:,.0f} MiB", f"{peak / size:.2f}", f"{seconds:.1f} s")
    print(f"| {' | '.join((name, *cells))} |", flush=True)


if __name__ == "__main__":
    main()
