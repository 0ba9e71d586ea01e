"""The documents are true: links lead somewhere, flags and commands exist. That their blocks run: test_docs_run.py."""

import contextlib
import io
import re
import tomllib
from functools import cache

import pytest
from blocks import PAGES, ROOT, text_of
from torch.distributed.run import get_args_parser

from moco.cli import COMMANDS, main
from moco.recipe import RECIPES, VIEWS

URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
OTHERS = {
    *(
        "--help",
        "--version",
        "--data",
        "--out",
        "--k",
        "--gpus",
        "--resolution",
        "--inplace",
        "--me",
        "--rm",
        "--lr",
        "--momentum",
        "--wd",
    ),
    *("--mlp", "--moco-t", "--moco-k", "--moco-m", "--moco-dim", "--aug-plus", "--cos", "--resume", "--pretrained"),
    "--schedule",
}
"""Flags that a page names without a command of ours: of the official code, docker, uv, Slurm."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page):
    source = re.escape(URLS["Source"])
    raw = source.replace("github.com", "raw.githubusercontent.com")
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        inside = re.match(rf"(?:{source}/(?:blob|tree)|{raw})/main/(.+)", target)
        assert target.startswith("https://") or (page.parent / target).exists(), target
        assert inside is None or (ROOT / inside[1]).exists(), target


def test_links_of_the_first_page_work_from_the_page_of_the_package():
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert target.startswith("https://"), f"{target} leads nowhere outside a checkout"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_flags_that_are_named_exist(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", text_of(page)))
    assert named - known_flags() == set()


@cache
def known_flags():
    """Of every command, as its help shows them, of torchrun, and of every benchmark."""
    known = {"--version", *OTHERS}
    recipes = ("v1", "v2", "v3", "cifar", "image-text")
    for command in (*(["pretrain", name] for name in recipes), *([name] for name in COMMANDS)):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([*command, "--help"])
        known |= set(re.findall(r"--[a-z][a-z0-9.-]*", said.getvalue()))
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
