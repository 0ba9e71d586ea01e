"""The documents are true: links lead somewhere, flags and commands exist, the README's Python runs."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.distributed.run import get_args_parser

from moco.cli import COMMANDS
from moco.commands.pretrain import pretrain
from moco.machine import Machine
from moco.recipe import RECIPES, VIEWS, override, v2

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_flags_that_are_named_exist(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", page.read_text()))
    assert named - known_flags() == set()


@cache
def known_flags():
    """Of every command, as its help shows them, of torchrun, and of every benchmark."""
    known = {"--help", "--data", "--out"}
    for command in (
        ["pretrain", "v2"],
        ["pretrain", "cifar"],
        ["pretrain", "v1"],
        ["pretrain", "v3"],
        *([name] for name in COMMANDS),
    ):
        arguments = [sys.executable, "-m", "moco", *command, "--help"]
        text = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        known |= set(re.findall(r"--[a-z][a-z0-9.-]*", text))
    known |= {flag for action in get_args_parser()._actions for flag in action.option_strings}  # torchrun's
    for script in (ROOT / "benchmarks").rglob("*.py"):
        known |= set(re.findall(r'add_argument\("(--[a-z-]+)"', script.read_text()))
    return known


def test_tests_that_the_documents_name_exist():
    for page in PAGES:
        for name in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_recipes_and_views_are_all_documented():
    text = (ROOT / "docs" / "recipes.md").read_text()
    for name in [*RECIPES, *VIEWS, "auto"]:
        assert f"`{name}`" in text


def test_the_two_lines_of_python_run(digits_file, tmp_path, monkeypatch):
    changes = {
        "encoder.backbone": "resnet10w8",
        "encoder.stem": "small",
        "image_size": 16,
        "batch": 32,
        "epochs": 1,
        "dictionary.size": 64,
    }
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=1)
    monkeypatch.chdir(tmp_path)
    pretrain(digits_file, "runs/photos", override(v2(), changes), machine=machine)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[0]
    image = Image.fromarray(np.zeros((20, 30), dtype=np.uint8))
    scope = {"image": image}
    exec(code, scope)
    features = scope["encoder"](scope["preprocess"](image)[None])
    assert features.shape == (1, 64)
