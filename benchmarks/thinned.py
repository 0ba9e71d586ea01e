"""Few images, or a long tail of classes, out of a labelled set; its test images as they are.

    python benchmarks/thinned.py sets/trash sets/trash-400 --images 400
    python benchmarks/thinned.py sets/cifar sets/cifar-tail --tail 100

`--images`: as many of each class as make so many together. `--tail`: of the first class all, of each further one a
constant share of the one before, of the last one image for so many of the first.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def sizes(most: list[int], images: int | None, tail: float | None) -> list[int]:
    """Of classes that have so many images, how many are kept."""
    if images is not None:
        return [min(n, images // len(most)) for n in most]
    assert tail is not None
    return [max(1, min(n, round(most[0] * tail ** (-i / (len(most) - 1))))) for i, n in enumerate(most)]


def linked(source: Path, out: Path, kept: int | None = None) -> None:
    """All of a class, or so many of them, evenly spaced in the order of their names."""
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(source.iterdir())
    for path in paths if kept is None else [paths[i * len(paths) // kept] for i in range(kept)]:
        if not (out / path.name).exists():
            os.link(path, out / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("out", type=Path)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--images", type=int)
    how.add_argument("--tail", type=float)
    asked = parser.parse_args()
    labels = sorted(path for path in (asked.set / "train").iterdir() if path.is_dir())
    kept = sizes([len(list(label.iterdir())) for label in labels], asked.images, asked.tail)
    for label, of_it in zip(labels, kept, strict=True):
        linked(label, asked.out / "train" / label.name, of_it)
        linked(asked.set / "test" / label.name, asked.out / "test" / label.name)
    print(f"{asked.out}: {sum(kept):,} images to learn from; by class {', '.join(map(str, kept))}")


if __name__ == "__main__":
    main()
