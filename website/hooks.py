"""What the site adds to the pages, so that docs/ reads well as plain files too.

Links out of docs/ become addresses of the source, pages that mkdocs.yml does not place are listed under "More", and the
reference gets the docstrings of all public names, the help of all commands and the licences of the dependencies.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NAMES = "<!-- the site has every public name here -->"
COMMANDS = "<!-- the site has the help of every command here -->"
LICENCES = "<!-- the site has the licences of the dependencies here -->"


def on_config(config: Any) -> Any:
    """Pages without a place get one."""
    placed = set(_paths(config["nav"]))
    docs = Path(config["docs_dir"])
    pages = sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))
    if more := [page for page in pages if page not in placed]:
        config["nav"].append({"More": more})
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links that leave docs/ lead to the source; the pages of the reference are filled."""
    here = Path(config["docs_dir"]) / Path(page.file.src_uri).parent
    markdown = re.sub(r"\]\((\.\.[^)#\s]*)([^)]*)\)", lambda m: f"]({_outside(here, m[1])}{m[2]})", markdown)
    if NAMES in markdown:
        import moco

        markdown = markdown.replace(NAMES, "\n".join(f"::: moco.{name}\n" for name in moco.__all__))
    if COMMANDS in markdown:
        from moco import cli

        markdown = markdown.replace(
            COMMANDS, "\n".join(f"## moco {c}\n\n```text\n{help_of(c)}```\n" for c in cli.COMMANDS)
        )
    if LICENCES in markdown:
        markdown = markdown.replace(LICENCES, runpy.run_path(str(ROOT / "website" / "licences.py"))["table"]())
    return markdown


def help_of(command: str) -> str:
    """What `moco COMMAND --help` prints, 100 characters wide and without colours."""
    from moco.cli import main

    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()).rstrip() + "\n"


def _paths(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from _paths(value) if isinstance(value, list) else [value]


def _outside(here: Path, target: str) -> str:
    """The target itself if it lies in docs/, else where the source is."""
    aim = (here / target).resolve()
    if aim.is_relative_to(ROOT / "docs"):
        return target
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    return f"{source}/blob/main/{aim.relative_to(ROOT).as_posix()}"
