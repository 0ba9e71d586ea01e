"""`moco neighbours`, `duplicates`, `outliers`, `cluster`: what features find, as a CSV and a contact sheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moco.commands.cut_as_seen import cut_as_seen
from moco.commands.tell import Silent, Teller
from moco.data.names import number_of
from moco.data.open import open_source
from moco.data.source import Source
from moco.errors import MocoError
from moco.run.atomic import write_atomically, write_text
from moco.search.features import FeatureSet
from moco.search.groups import Group, clusters, duplicates, outliers
from moco.search.nearest import How, nearest
from moco.search.sheet import Row, draw_sheet

ROWS, COLUMNS = 12, 9
"""Of a contact sheet."""


def find_neighbours(
    found: FeatureSet, out: Path, *, k: int = 8, queries: FeatureSet | None = None, how: How = "auto",
    tell: Teller | None = None,
) -> Path:  # fmt: skip
    """The k most similar images of each, or of each of `queries`; neighbours.csv and neighbours.png in `out`."""
    _at_least("--k", k)
    asked = queries or found
    _same_width(found, asked)
    cosines, places = nearest(asked.unit(), found.unit(), k, themselves=queries is None, how=how)
    lines: list[Sequence[object]] = [["image", "rank", "neighbour", "cosine"]]
    for name, row, cosine in zip(asked.paths, places.tolist(), cosines.tolist(), strict=True):
        near = [(i, c) for i, c in zip(row, cosine, strict=True) if i >= 0]
        lines += [[name, n, found.paths[i], f"{c:.4f}"] for n, (i, c) in enumerate(near, 1)]
    source = _shown(found)
    query_source = _shown(asked) if asked.data else None  # texts have no pictures
    pictures = []
    for q in _spread(len(asked.paths)):
        near = [(i, c) for i, c in zip(places[q].tolist(), cosines[q].tolist(), strict=True) if i >= 0][: COLUMNS - 1]
        images = [(source, int(found.index[i])) for i, _ in near]
        cells = [f"{c:.3f}" for _, c in near]
        if query_source is not None:
            images, cells = [(query_source, int(asked.index[q])), *images], ["looked up", *cells]
        pictures.append(Row(asked.paths[q], images, cells))
    return _write(out, "neighbours", lines, pictures, tell)


def find_duplicates(found: FeatureSet, out: Path, *, threshold: float = 0.99, tell: Teller | None = None) -> Path:
    """Groups of images linked by cosines of at least `threshold`; duplicates.csv and duplicates.png in `out`."""
    if not 0 < threshold <= 1:
        raise MocoError(f"--threshold {threshold}: a cosine between 0 and 1")
    groups = duplicates(found.unit(), threshold)
    tell = tell or Silent()
    inside = sum(len(g.members) for g in groups)
    tell.note(
        f"{inside:,} of {number_of(len(found.paths), 'image')} in {number_of(len(groups), 'group')} with a cosine from "
        f"{threshold} on"
    )
    if inside > len(found.paths) / 3:
        tell.note("more than a third of the images: for this encoder the threshold is too low; raise --threshold")
    return _grouped(found, out, "duplicates", groups, tell)


def find_clusters(found: FeatureSet, out: Path, *, k: int = 12, tell: Teller | None = None) -> Path:
    """k groups of alike images by k-means, the most typical images first; cluster.csv and cluster.png in `out`."""
    _at_least("--k", k)
    groups = clusters(found.unit(), k)
    tell = tell or Silent()
    most = number_of(len(groups[0].members), "image")
    tell.note(f"{number_of(len(groups), 'cluster')} of {len(groups[-1].members):,} to {most}")
    return _grouped(found, out, "cluster", groups, tell)


def find_outliers(found: FeatureSet, out: Path, *, k: int = 10, how: How = "auto", tell: Teller | None = None) -> Path:
    """Every image by its mean cosine distance to its k nearest; outliers.csv and outliers.png in `out`."""
    _at_least("--k", k)
    distance, order = outliers(found.unit(), k, how)
    lines: list[Sequence[object]] = [["image", "label", "distance"]]
    lines += [[found.paths[i], found.labels[i], f"{distance[i]:.4f}"] for i in order]
    source = _shown(found)
    parts = {
        "farthest from their neighbours": order[:COLUMNS],
        "the next": order[COLUMNS : 2 * COLUMNS],
        "and the next": order[2 * COLUMNS : 3 * COLUMNS],
        "for comparison, the most ordinary": order[::-1][:COLUMNS],
    }
    pictures = [
        Row(title, [(source, int(found.index[i])) for i in part], [f"{distance[i]:.3f}" for i in part])
        for title, part in parts.items()
        if len(part)
    ]
    return _write(out, "outliers", lines, pictures, tell)


def _grouped(found: FeatureSet, out: Path, name: str, groups: Sequence[Group], tell: Teller) -> Path:
    lines: list[Sequence[object]] = [["group", "size", "image", "label", "cosine"]]
    for number, group in enumerate(groups, 1):
        for i, cosine in zip(group.members.tolist(), group.cosines.tolist(), strict=True):
            lines.append([number, len(group.members), found.paths[i], found.labels[i], f"{cosine:.4f}"])
    source = _shown(found)
    pictures = [_group_row(source, found, number, group) for number, group in enumerate(groups[: 2 * ROWS], 1)]
    return _write(out, name, lines, pictures, tell)


def _shown(found: FeatureSet) -> Source:
    """The images that features are of, page by page and tile by tile where they are."""
    return cut_as_seen(open_source(found.data), found.encoder)


def _group_row(source: Source, found: FeatureSet, number: int, group: Group) -> Row:
    members, cosines = group.members[:COLUMNS].tolist(), group.cosines[:COLUMNS].tolist()
    title = f"{number}: {number_of(len(group.members), 'image')}"
    known = [label for label in (found.labels[i] for i in group.members.tolist()) if label]
    if known:
        most = max(sorted(set(known)), key=known.count)
        title += f", {known.count(most) / len(known):.0%} {most}"
    return Row(
        f"{title}, {found.paths[members[0]]}",
        [(source, int(found.index[i])) for i in members],
        [f"{c:.3f}" for c in cosines],
    )


def _write(
    out: Path, name: str, lines: Sequence[Sequence[object]], pictures: Sequence[Row], tell: Teller | None
) -> Path:
    if out.exists() and not out.is_dir():
        raise MocoError(f"--out {out} is a file; name a folder")
    out.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(out / f"{name}.csv", text.getvalue())
    picture = out / f"{name}.png"
    if pictures:
        write_atomically(picture, lambda file: draw_sheet(file, pictures))
    else:
        picture.unlink(missing_ok=True)  # of an earlier search
    (tell or Silent()).note(f"{out / name}.csv" + (f", {picture.name}" if pictures else "; there is nothing to show"))
    return out


def _spread(n: int) -> list[int]:
    """Up to ROWS positions, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, n - 1, min(n, ROWS)).round()})


def _at_least(flag: str, k: int) -> None:
    if k < 1:
        raise MocoError(f"{flag} {k}: must be at least 1")


def _same_width(a: FeatureSet, b: FeatureSet) -> None:
    if a.features.shape[1] != b.features.shape[1]:
        raise MocoError(
            f"features of {a.features.shape[1]} and of {b.features.shape[1]} numbers are not of the same encoder"
        )
