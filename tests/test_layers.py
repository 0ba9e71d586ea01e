"""Imports go only downwards: the layers of docs/architecture.md, read from the code."""

import ast
import sys
from pathlib import Path

import moco

ROOT = Path(moco.__file__).parent
LAYERS = [
    ["errors", "version"],
    ["arguments"],
    ["recipe", "machine", "distributed"],
    ["ops", "device", "loopback", "quiet"],
    ["data"],
    ["drawn", "vit", "hidden"],
    ["apply"],
    ["apply_bands"],
    ["two_views", "preprocess", "backbones", "dictionary", "optim", "text"],
    ["encoder", "shuffle", "foreign"],
    ["model"],
    ["towers"],
    ["run"],
    ["embed", "training"],
    ["fast", "scores", "halving", "watching"],
    ["auto"],
    ["loop", "health", "labelfree", "protocols", "loggers", "pages", "study", "tune", "search", "transfer"],
    ["handover", "explore"],
    ["commands", "display", "parts"],
    ["cli"],
    ["__main__", "__init__"],
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
ALLOWED = {("loop", "health"), ("pages", "protocols")}
"""The loop asks for a verdict on its rows; the report draws the table that an evaluation wrote."""


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path):
    """Every module of this package that a file names, inside functions too, but not for type checking alone."""
    tree = ast.parse(path.read_text())
    lazy = {
        id(n)
        for i in ast.walk(tree)
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test)
        for n in ast.walk(i)
    }
    for node in ast.walk(tree):
        if id(node) in lazy:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "moco":
            if node.module == "moco":
                yield from (alias.name for alias in node.names)
            else:
                yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("moco."))


def test_every_room_has_a_floor():
    assert {room_of(p) for p in ROOT.rglob("*.py")} == set(LEVEL)


def test_no_room_has_a_public_name():
    """Python binds a room to its name when it is imported: `moco.report` would no longer be a function."""
    assert not set(moco.__all__) & set(LEVEL)


def test_imports_go_downwards_or_stay_in_the_room():
    upward = [
        f"{path.relative_to(ROOT)} imports {target}"
        for path in ROOT.rglob("*.py")
        for target in imports(path)
        if target != (room := room_of(path)) and LEVEL[target] >= LEVEL[room] and (room, target) not in ALLOWED
    ]
    assert upward == []


def test_recipes_and_the_command_line_use_no_torch():
    for room in ("errors", "version", "arguments", "recipe", "machine"):
        for path in [ROOT / f"{room}.py", *(ROOT / room).glob("*.py")]:
            if path.exists():
                assert "import torch" not in path.read_text(), path
    assert "import torch" not in (ROOT / "transfer" / "recipe.py").read_text()
    light = {"errors", "version", "recipe", "machine", "cli"}
    for path in (ROOT / "cli").glob("*.py"):
        for node in (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for name in names:
                first, *rest = name.split(".")
                if name == "moco.transfer.recipe":  # data, as recipe/ is
                    continue
                assert first in {*sys.stdlib_module_names, "tyro", "moco"}, f"{path.name} imports {name} before it runs"
                assert first != "moco" or (rest and rest[0] in light), f"{path.name} imports {name} before it runs"


def test_no_file_has_a_name_that_says_nothing():
    vague = {"utils", "util", "misc", "common", "helpers", "base", "engine", "manager"}
    assert not [p for p in ROOT.rglob("*.py") if p.stem in vague]
