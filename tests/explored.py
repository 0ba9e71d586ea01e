"""A run of one step on digits in folders, with names that a page must not take for HTML, and the map of it."""

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image
from tiny import CPU, TINY

from moco.commands.explore import explore
from moco.commands.pretrain import pretrain
from moco.recipe import override, v2

if any(find_spec(name) is None for name in ("embedding_atlas", "duckdb", "umap")):
    pytest.skip("needs the extra 'explore'", allow_module_level=True)
NASTY = ('it\'s a "3".png', "<script>alert(1)<'script>.png", "two\nlines.png", "<img src=x onerror=alert(1)>.png")


def make_photos(folder, digits, n=60):
    """Digits in a folder for each class, one of them twice, one broken, and four with nasty names."""
    for i in range(n):
        path = folder / f"digit {digits[1][i]}" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(digits[0][i]).save(path)
    for i, name in enumerate(NASTY):
        Image.fromarray(digits[0][100 + i]).save(folder / "digit 3" / name)
    Image.fromarray(digits[0][7]).save(folder / "again.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def make_run(folder, digits):
    """photos/ and run/ in a folder."""
    make_photos(folder / "photos", digits)
    np.save(folder / "digits.npy", digits[0][:64])
    pretrain(folder / "digits.npy", folder / "run", override(v2(), TINY), machine=CPU, until=1)
    explore(folder / "run", folder / "photos", machine=CPU)
