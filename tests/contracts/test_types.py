"""The library is typed: a strict type checker reads what somebody writes with it, and finds what is wrong."""

import subprocess
import sys
from pathlib import Path

import moco

CONSUMER = Path(__file__).parent.parent / "consumer.py"
SETTINGS = """
[mypy]
strict = True
follow_imports = skip
[mypy-moco,moco.*]
follow_imports = silent
"""
"""Without the types of torch and other libraries, which take a minute to read; with them it passes too."""

WRONG = """

def wrong() -> None:
    moco.Queue("many", dim=128)
    moco.views("photos")
    moco.knn(1, 2, k="3")
    moco.nonsense()
    word: str = moco.effective_rank(torch.zeros(2, 2))
"""


def test_strict_mypy_passes_on_what_is_right_and_finds_what_is_wrong(tmp_path):
    assert (Path(moco.__file__).parent / "py.typed").exists()
    source = CONSUMER.read_text()
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "consumer.py").write_text(source + WRONG)
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--cache-dir", tmp_path / "cache", "consumer.py"]
    path = {"MYPYPATH": str(Path(moco.__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=path)
    first = len(source.splitlines())
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in lines if int(line.split(":")[1]) <= first] == []
    for said in (
        'Argument 1 to "Queue" has incompatible type "str"',
        'Missing named argument "size" for "views"',
        'Argument "k" to "knn" has incompatible type "str"',
        'has no attribute "nonsense"',
        'expression has type "float", variable has type "str"',
    ):
        assert any(said in line for line in lines), (said, done.stdout, done.stderr)
