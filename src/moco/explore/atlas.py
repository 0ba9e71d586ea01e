"""The parts of embedding-atlas (Apple, MIT) that a page is made of: files of the installed package alone."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from moco.errors import MocoError

WIDGET = "widget_static/anywidget/index.js"
"""The map with its charts, as one JavaScript module that asks for data by SQL."""

_DUCKDB = {"duckdb.wasm": "duckdb-eh-*.wasm", "duckdb.worker.js": "duckdb-browser-eh.worker-*.js"}


def widget() -> Path:
    """The map; raises MocoError where the package is missing or holds no such file."""
    return _file(WIDGET)


def duckdb_files() -> dict[str, Path]:
    """The database that runs in a browser, for pages without a server: path below them -> file; raises MocoError."""
    found = {name: _file(f"static/assets/{pattern}") for name, pattern in _DUCKDB.items()}
    json = _file("static/duckdb-wasm/*/wasm_eh/json.duckdb_extension.wasm")
    return found | {"/".join(json.parts[-4:]): json}


def refuse_without() -> None:
    """Raise MocoError where a library of the extra `explore` is missing."""
    widget()
    for name in ("duckdb", "pyarrow"):
        if find_spec(name) is None:
            raise _missing(name)


def _file(pattern: str) -> Path:
    found = find_spec("embedding_atlas")
    if found is None or found.origin is None:
        raise _missing("embedding-atlas")
    path = next(iter(sorted(Path(found.origin).parent.glob(pattern))), None)
    if path is None:
        raise MocoError(
            f"the installed embedding-atlas has no {pattern}; install another: pip install -U 'embedding-atlas>=0.26'"
        )
    return path


def _missing(name: str) -> MocoError:
    return MocoError(f"explore needs {name}: pip install 'momentum-contrast[explore]'")
