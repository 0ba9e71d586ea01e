"""`moco doctor`: what is installed, what extras would bring, what this machine computes with, what can be written."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from moco.data.cache import cache_folder
from moco.device import place
from moco.errors import MocoError
from moco.machine import Machine, cores
from moco.ops.kernels import has_norm_kernels, kernels
from moco.version import VERSION

DISTRIBUTION = "momentum-contrast"

BRINGS = {
    "fast": "views and BatchNorm in compiled kernels, JPEGs decoded faster",
    "timm": "the backbones of timm (timm:NAME)",
    "export": "ONNX, safetensors, Hugging Face and timm as formats of moco export",
    "remote": "images from https://, s3:// and gs://",
    "tune": "moco tune",
    "parquet": "features as .parquet (moco embed)",
    "faiss": "approximate search in millions of features (moco neighbours --how faiss)",
    "formats": "TIFF of any kind, DICOM, NIfTI, JPEG XL, HEIC and AVIF",
    "transfer": "the metrics of COCO for moco transfer",
    "attention": "what a decision rests on, as pictures",
    "explore": "moco explore, the map of images in the browser",
    "wandb": "runs in Weights & Biases (--log wandb)",
    "mlflow": "runs in MLflow (--log mlflow)",
    "trackio": "runs in trackio (--log trackio)",
    "text": "image-text on captions with a vocabulary of their own",
    "transformers": "image-text with a text model of transformers (--text.tower)",
    "notebook": "what examples/quickstart.ipynb runs in",
    "examples": "the loops in Lightning and with accelerate (examples/)",
}
"""What each extra is good for; of one that is not listed, the packages are named."""

_OWN = {"test", "docs", "dev"}
"""Extras for work on this package itself."""

_LEAST_FREE = 1 << 30


@dataclass(frozen=True)
class Package:
    """One that is needed, and what is there."""

    name: str
    needed: str
    """The lowest version; empty where any will do."""
    installed: str | None

    @property
    def fine(self) -> bool:
        """Whether it is there and new enough."""
        return self.installed is not None and _parts(self.installed) >= _parts(self.needed)

    def words(self) -> str:
        """As a line says it."""
        if self.installed is None:
            return f"{self.name} is missing"
        return f"{self.name} {self.installed}" + ("" if self.fine else f" is older than {self.needed}")


@dataclass(frozen=True)
class Extra:
    """A named extra."""

    name: str
    brings: str
    packages: list[Package]
    install: str
    """The command that installs what is missing; empty where nothing is."""


@dataclass(frozen=True)
class Folder:
    """Where something is kept that can be made again."""

    what: str
    path: Path
    writable: bool
    free_gib: float


@dataclass(frozen=True)
class Diagnosis:
    """What there is."""

    moco: str
    python: str
    platform: str
    packages: list[Package]
    extras: list[Extra]
    device: str
    """Where a run computes by default."""
    gpus: list[str]
    cores: int
    precision: str
    """What a run chooses here, and its measured reason."""
    kernels: str
    folders: list[Folder]
    problems: list[str]
    """What must be put right, each with what to do."""

    def lines(self) -> list[str]:
        """For a person."""
        lines = [
            f"moco {self.moco}, Python {self.python}, {self.platform}",
            ", ".join(package.words() for package in self.packages),
            f"device: {self.device}; {self.cores} CPU core{'s' if self.cores > 1 else ''}"
            + "".join(f"; {gpu}" for gpu in self.gpus),
            f"precision: {self.precision}",
            f"compiled kernels: {self.kernels}",
            "extras:",
        ]
        for extra in self.extras:
            state = "installed" if not extra.install else "missing  "
            line = f"  {extra.name:12} {state}  {extra.brings}"
            lines.append(f"{line}: {extra.install}" if extra.install else line)
        lines.append("kept here, and can be made again:")
        for folder in self.folders:
            written = "can be written" if folder.writable else "CANNOT BE WRITTEN"
            lines.append(f"  {folder.what}: {folder.path} {written}, {folder.free_gib:,.1f} GiB free")
        return lines + ([f"put right: {problem}" for problem in self.problems] or ["nothing must be put right"])


def examine(machine: Machine | None = None) -> Diagnosis:
    """Look at the installation and at the machine: some seconds, as precision is measured. Leaves nothing behind."""
    packages, extras = required()
    folders = [
        _folder("fetched data and lists", cache_folder("")),
        _folder("temporary files", Path(tempfile.gettempdir())),
        _folder("runs, in this directory", Path.cwd()),
    ]
    problems = [
        f"{package.words()}: pip install '{package.name}>={package.needed}'" for package in packages if not package.fine
    ]
    if not packages:
        problems.append(f"{DISTRIBUTION} is not installed, only found on the path: pip install -e . in its folder")
    for folder in folders:
        if not folder.writable:
            named = " or set XDG_CACHE_HOME to another" if "fetched" in folder.what else ""
            problems.append(f"{folder.path} cannot be written ({folder.what}): give yourself the right to{named}")
        elif folder.free_gib * 2**30 < _LEAST_FREE:
            problems.append(f"{folder.path} has {folder.free_gib:.2f} GiB left ({folder.what}): make room")
    device, reason = "none", ""
    try:
        placement = place(machine)
        device, reason = str(placement.device), placement.reason
    except MocoError as error:
        problems.append(str(error))
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        problems.append(
            "there is an NVIDIA driver and torch is built for CPUs: install torch from pytorch.org for CUDA"
        )
    return Diagnosis(
        VERSION,
        platform.python_version(),
        f"{platform.system()} {platform.machine()}",
        packages,
        extras,
        device,
        gpus(),
        cores(),
        reason,
        _kernels(),
        folders,
        problems,
    )


def versions() -> dict[str, str]:
    """What `moco --version` says: of moco, torch and Python, and the device."""
    named = gpus()
    device = named[0] if named else f"CPU with {cores()} core{'s' if cores() > 1 else ''}"
    return {"moco": VERSION, "torch": torch.__version__, "python": platform.python_version(), "device": device}


def gpus() -> list[str]:
    """Each GPU that torch sees: its name, memory and what CUDA torch is built for."""
    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [f"{p.name}, {p.total_memory / 2**30:.0f} GiB (torch for CUDA {torch.version.cuda})" for p in found]


def required() -> tuple[list[Package], list[Extra]]:
    """What the package itself needs, and its extras; nothing where it is not installed."""
    try:
        asked = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return [], []
    return sorted_out(asked)


def sorted_out(asked: Sequence[str]) -> tuple[list[Package], list[Extra]]:
    """The same, of lines of a distribution's metadata, such as `timm>=1.0; extra == "timm"`."""
    always: list[Package] = []
    parts: dict[str, list[Package]] = {}
    for line in asked:
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:[(]?>=\s*([0-9.]+))?", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if found is None or found[1] == DISTRIBUTION or (extra is not None and extra[1] in _OWN):
            continue
        package = Package(found[1], found[2] or "", _installed(found[1]))
        (parts.setdefault(extra[1], []) if extra else always).append(package)
    extras = [
        Extra(
            name,
            BRINGS.get(name, _named(packages)),
            packages,
            "" if _all_fine(packages) else f"pip install '{DISTRIBUTION}[{name}]'",
        )
        for name, packages in sorted(parts.items())
    ]
    return always, extras


def _named(packages: Sequence[Package]) -> str:
    return ", ".join(package.name for package in packages)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _all_fine(packages: Iterable[Package]) -> bool:
    return all(package.fine for package in packages)


def _parts(version: str) -> tuple[int, ...]:
    """The numbers of a version up to the first word: 2.14.1+cpu is (2, 14, 1)."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[^0-9.]", version)[0]))


def _kernels() -> str:
    if kernels() is None:
        return (
            "none: views and BatchNorm run as tensor functions, several times slower on a CPU "
            f"(pip install '{DISTRIBUTION}[fast]')"
        )
    if not has_norm_kernels():
        return f"views; BatchNorm on a CPU as tensor functions, as torch has no OpenMP team to share on {sys.platform}"
    return "views, and BatchNorm on a CPU"


def _folder(what: str, path: Path) -> Folder:
    """What can be done with a folder that need not exist: tried in the nearest one that does."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    writable = there.is_dir() and os.access(there, os.W_OK)
    if writable:
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError:
            writable = False
    return Folder(what, path, writable, shutil.disk_usage(there).free / 2**30)
