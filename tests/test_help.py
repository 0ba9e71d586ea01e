"""Help is fast, needs no torch, and shows the recipe's own fields."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import moco.cli
from moco.cli import COMMANDS
from moco.recipe import RECIPES

LOADED = """
import sys
from moco.cli import main
try:
    main(sys.argv[1:])
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def run(*arguments):
    return subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["pretrain", "--help"], ["pretrain", "v1", "--help"], ["show", "v2"], ["show"]]
)
def test_help_and_show_import_no_torch_and_take_under_a_second(arguments):
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        done = run(*arguments)
        best = min(best, time.perf_counter() - start)
        assert done.returncode == 0
        assert done.stderr.strip() == "False"
    assert best < 1.0


def test_help_names_every_command_and_recipe():
    text = run("--help").stdout
    for word in [*COMMANDS, *RECIPES]:
        assert word in text


def test_a_command_is_a_file_of_its_name_and_explains_itself():
    folder = Path(moco.cli.__file__).parent
    assert {p.stem for p in folder.glob("*.py")} - {"__init__", "answer", "parse", "values"} == set(COMMANDS)
    for name in COMMANDS:
        done = run(name, "--help")
        assert done.returncode == 0
        assert f"moco {name}" in done.stdout
        assert done.stderr.strip() == "False", "help imports torch"


def test_flags_are_the_fields_of_the_recipe():
    text = run("pretrain", "cifar", "--help").stdout
    for flag in [
        "--image-size",
        "--epochs",
        "--encoder.backbone",
        "--encoder.norm-group",
        "--dictionary.size",
        "--loss.temperature",
        "--loss.symmetric",
        "--machine.precision",
        "--machine.max-skipped",
        "--optim.lr",
        "--keys.m",
    ]:
        assert flag in text
    assert "4096" in text


def test_unknown_commands_and_flags_are_named():
    done = run("train")
    assert done.returncode == 2
    assert "there is no command 'train'" in done.stderr
    done = run("pretrain", "--data", "x", "--out", "y", "--optim.rate", "1")
    assert done.returncode == 2
    assert "rate" in done.stdout + done.stderr


def test_an_unknown_recipe_is_a_sentence():
    done = run("show", "v9")
    assert done.returncode == 1
    assert "there is no recipe 'v9'" in done.stderr
