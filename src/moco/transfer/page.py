"""report.html of a transfer: the tables, the curves and the pictures, in one file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from moco.run.atomic import write_text
from moco.transfer.recipe import Transfer

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .3rem .8rem; border-bottom: 1px solid #ddd }
td { text-align: right } td:first-child, th:first-child { text-align: left } img { max-width: 100% }
"""


def write_page(path: Path, recipe: Transfer, lines: Sequence[str], curves: Path, pictures: Sequence[Path]) -> None:
    """Write the page; `lines` are the tables in Markdown."""
    parts = [f"<h1>{html.escape(recipe.name)}</h1>", *_tables(lines)]
    parts += ["<h2>On the way</h2>", _picture(curves)]
    if pictures:
        parts.append("<h2>Test images: annotated, and what each start finds (scores of 0.5 and more)</h2>")
        parts += [f"<p>{_picture(picture)}</p>" for picture in pictures]
    body = "\n".join(parts)
    title = html.escape(f"moco transfer {recipe.name}")
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    write_text(path, f"{head}\n{body}\n</html>\n")


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'


def _tables(lines: Sequence[str]) -> list[str]:
    out: list[str] = []
    inside = False
    for line in lines:
        if line.startswith("|---"):
            continue
        if line.startswith("|"):
            kind = "td" if inside else "th"
            cells = "".join(f"<{kind}>{html.escape(c.strip())}</{kind}>" for c in line.strip("|").split("|"))
            out += ([] if inside else ["<table>"]) + [f"<tr>{cells}</tr>"]
            inside = True
            continue
        out += ["</table>"] if inside else []
        inside = False
        if line:
            out.append(f"<p>{html.escape(line.replace('**', ''))}</p>")
    return [*out, *(["</table>"] if inside else [])]
