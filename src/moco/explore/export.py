"""A map as a folder for any web server: the page, a database that runs in the browser, the table, small pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from moco.errors import MocoError
from moco.explore.atlas import duckdb_files, widget
from moco.explore.database import TABLE, Database
from moco.explore.kept import About
from moco.explore.page import SCRIPTS, Can, page_parts
from moco.explore.tiles import Tiles
from moco.pages.style import script
from moco.run.atomic import trouble_is_told


def refuse_export(folder: Path) -> None:
    """Raise MocoError where no page could be written, before anything takes time."""
    if folder.exists() and not folder.is_dir():
        raise MocoError(f"--export {folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "explore.js").exists():
        raise MocoError(f"--export {folder} holds other files; name a new folder")


def export(folder: Path, about: About, database: Database, tiles: Tiles, done: Callable[[int], object]) -> None:
    """Write it; `done` is called with the number of pictures made so far. An earlier export there is replaced."""
    refuse_export(folder)
    with trouble_is_told(folder):
        shutil.rmtree(folder / "thumb", ignore_errors=True)
        (folder / "thumb").mkdir(parents=True)
        for name, path in {"atlas.js": widget(), **duckdb_files()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        for name in SCRIPTS:
            (folder / name).write_bytes(script(name))
        (folder / "backend.js").write_bytes(script("explore-static.js"))
        (folder / "images.arrow").write_bytes(database.arrow(f"SELECT * FROM {TABLE} ORDER BY __row"))
        html, block = page_parts(about, database, Can(image=False, text=False, whole=False))
        (folder / "points.bin").write_bytes(block)
        (folder / "index.html").write_text(html, encoding="utf-8")
        for row in range(about.images):
            (folder / "thumb" / f"{row}.jpg").write_bytes(tiles.small(row))
            done(row + 1)
