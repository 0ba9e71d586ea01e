"""What the pages share: their style, and templates in which names stay text, whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
"""Where templates and scripts lie."""


def template(name: str) -> Any:
    """A template of this folder."""
    loader = FileSystemLoader(FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def style() -> str:
    """The style of the report, for other pages that are made of the same parts."""
    found = re.search(r"<style>\n(.*?)</style>", (FOLDER / "page.html").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1].replace("{{ epochs }}", "3")


def digest(js: str) -> str:
    """Of a script inside a page, as its Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()


def script(name: str) -> bytes:
    """A script of this folder."""
    return (FOLDER / name).read_bytes()
