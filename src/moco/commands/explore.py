"""`moco explore`: a map of images by what an encoder finds alike, in a browser on this machine or as a folder."""

from __future__ import annotations

import os
import posixpath
import re
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from moco.commands.cut_as_seen import cut_as_seen
from moco.commands.explore_known import known_groups
from moco.commands.explore_ways import keep_told, ways_of
from moco.commands.tell import Silent, Teller
from moco.data.labelled import JUDGED
from moco.data.names import number_of
from moco.data.open import open_source
from moco.data.source import Source, fingerprint
from moco.errors import MocoError
from moco.explore.atlas import refuse_without
from moco.explore.database import Database
from moco.explore.export import export, refuse_export
from moco.explore.kept import About, Kept
from moco.explore.page import Can, page_parts, short
from moco.explore.routes import Routes
from moco.explore.search import Search
from moco.explore.tiles import Tiles
from moco.loopback import Loopback
from moco.machine import Machine
from moco.run.directory import RunDirectory, is_run
from moco.search.features import SUFFIXES

if TYPE_CHECKING:
    from moco.search.features import FeatureSet

Name = str | os.PathLike[str]
PORT = 5050


@dataclass(frozen=True)
class Wanted:
    """How a map is made."""

    seed: int = 0
    threshold: float = 0.99
    clusters: int = 12
    losses: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise MocoError(f"--threshold {self.threshold}: a cosine between 0 and 1")
        if self.clusters < 1:
            raise MocoError(f"--clusters {self.clusters}: must be at least 1")


@dataclass(frozen=True)
class Explored:
    """A map that is made: what it shows, its files, and the images."""

    about: About
    kept: Kept
    open: Callable[[], Source]

    @property
    def database(self) -> Database:
        """Opened anew."""
        return Database(self.kept.table)

    def tiles(self, database: Database) -> Tiles:
        """The pictures."""
        return Tiles([name for (name,) in database.rows("SELECT file FROM images ORDER BY __row")], self.open)


def explore(
    what: Name,
    data: Name | None = None,
    *,
    out: Path | None = None,
    wanted: Wanted | None = None,
    again: bool = False,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> Explored:
    """The map of `what` (a run, an encoder, or features that `embed_images` wrote), made where it is not there yet.

    Features, neighbours and the map are kept in `out`, by default the folder `explore` of the run, and made again only
    where they are of something else; `again` makes all anew. A stop while images are embedded loses one part at most.
    Raises MocoError.
    """
    refuse_without()
    tell, wanted, machine = tell or Silent(), wanted or Wanted(), machine or Machine()
    named = _data_of(what, data)
    kept = Kept(out or _beside(what))
    stamp = _stamp(what)
    about = None if again else kept.about()
    same = about is not None and (about.stamp, about.data) == (stamp, named or about.data)
    asked = (wanted.seed, wanted.threshold, wanted.clusters, wanted.losses)
    if about is not None and same and asked == (about.seed, about.threshold, about.clusters, about.losses):
        return _checked(about, kept, what)
    return _made(what, named, kept, stamp, wanted, reuse=same, machine=machine, tell=tell)


def serve(explored: Explored, port: int = PORT, browser: bool = False, tell: Teller | None = None) -> None:
    """Serve the page on the loopback address until Ctrl-C; raises MocoError where no port is free."""
    tell = tell or Silent()
    server = Loopback(routes(explored), port)
    if server.taken:
        tell.note(f"port {port} is in use; this is on {server.port}")
    tell.note(
        f"{server.address} shows {number_of(explored.about.images, 'image')}, to this machine alone; Ctrl-C stops it"
    )
    if browser and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(server.address)
    server.serve()


def routes(explored: Explored) -> Routes:
    """What the server of the page answers."""
    database, kept = explored.database, explored.kept
    ways = ways_of(explored.about.embedder, kept)
    html, points = page_parts(explored.about, database, Can(ways.image is not None, ways.text is not None, whole=True))
    told = Search(kept.told) if ways.text is not None else None
    return Routes(html, points, database, explored.tiles(database), Search(kept.unit), ways, told)


def write_export(explored: Explored, folder: Path, tell: Teller | None = None) -> None:
    """Write the page to a folder for any web server; raises MocoError where it holds other files."""
    tell = tell or Silent()
    refuse_export(folder)
    database = explored.database
    done = tell.reading("small pictures", explored.about.images)
    export(folder, explored.about, database, explored.tiles(database), done)
    tell.note(f"{folder}/index.html: for any web server, such as python -m http.server --directory {folder}")


def _made(
    what: Name, data: str, kept: Kept, stamp: str, wanted: Wanted, reuse: bool, machine: Machine, tell: Teller
) -> Explored:
    from moco.explore.columns import columns
    from moco.explore.layout import lay_out, umap
    from moco.explore.table import write_table

    umap()  # rather missing now than after the images are embedded
    found, mark = _features(what, data, kept, reuse and kept.features.exists(), machine, tell)
    if len(found.paths) < 2:
        raise MocoError(f"{what}: a map takes at least two images that can be read, not {len(found.paths)}")
    kept.open()
    losses = None
    if wanted.losses:
        from moco.commands.losses import losses_of

        losses = losses_of(what, found, machine, tell)
    unit = found.unit()
    tell.note(f"looking for neighbours among {number_of(len(unit), 'image')}")
    known = columns(unit, threshold=wanted.threshold, groups=wanted.clusters, seed=wanted.seed)
    tell.note("laying out the map")
    points = lay_out(unit, known.places, known.cosines, wanted.seed)
    groups = known_groups(found, tell)
    write_table(kept.table, found.paths, _classes(found), known, points, losses, groups)
    kept.keep_unit(unit)
    keep_told(what, found, kept)
    about = About(
        encoder=os.fspath(what),
        embedder=found.encoder,
        data=found.data,
        stamp=stamp,
        fingerprint=mark,
        seed=wanted.seed,
        threshold=wanted.threshold,
        clusters=wanted.clusters,
        losses=wanted.losses,
        images=len(unit),
        width=unit.shape[1],
        labelled=any(found.labels),
    )
    kept.finish(about)
    return _checked(about, kept, what)


def _classes(found: FeatureSet) -> list[str]:
    """The label of each image; where the first folders are only the parts of a split, the folder that it lies in."""
    if not any(found.labels) or not {*found.labels} <= {"train", *JUDGED}:
        return found.labels
    return [posixpath.basename(posixpath.dirname(path)) for path in found.paths]


def _features(what: Name, data: str, kept: Kept, reuse: bool, machine: Machine, tell: Teller) -> tuple[FeatureSet, str]:
    """The features, and the fingerprint of their images where these were embedded here."""
    from moco.search.features import read_features

    if Path(what).suffix in SUFFIXES:
        found = read_features(Path(what))
        return (found if not data else replace(found, data=data)), ""
    source = open_source(data)
    mark = fingerprint(source)
    about = kept.about()
    if reuse and about is not None and about.fingerprint == mark:
        return read_features(kept.features), mark
    from moco.commands.embed_parts import embed_in_parts

    kept.open()
    return embed_in_parts(what, source, data, kept, machine, tell), mark


def _checked(about: About, kept: Kept, what: Name) -> Explored:
    """The map with what there is to say about its images, which may have changed since."""
    source: Source | None = None
    notes = []
    try:
        source = open_source(about.data)
        if about.fingerprint and fingerprint(source) != about.fingerprint:
            notes.append(
                f"The images of {short(about.data)} have changed since this map was made ({len(source):,} now); those "
                "that are gone are grey tiles. --again makes a new map."
            )
    except MocoError as error:
        notes.append(f"The images cannot be opened: {error}.")
    held = source

    def again() -> Source:
        return cut_as_seen(held if held is not None else open_source(about.data), about.embedder)

    return Explored(replace(about, encoder=os.fspath(what), notes=notes), kept, again)


def _data_of(what: Name, data: Name | None) -> str:
    """What to open for the images: as named, or as a run says; empty for features, which say it themselves."""
    if data is not None:
        return str(Path(data).resolve()) if Path(data).exists() else os.fspath(data)
    path = Path(what)
    if path.suffix in SUFFIXES:
        return ""
    if is_run(path) and (record := RunDirectory(path).read("data.json")):
        return str(record["data"])
    raise MocoError(f"--data is missing: {what} does not say which images to show; name them")


def _beside(what: Name) -> Path:
    """Where a map is kept if nothing else is said."""
    path = Path(what)
    if is_run(path):
        return path / "explore"
    if path.is_file():
        return path.with_name(path.name + ".explore")
    return Path("explored") / re.sub(r"[^\w.+-]+", "-", os.fspath(what))


def _stamp(what: Name) -> str:
    """Of the file that holds the encoder or the features; empty for what has no file. Raises MocoError without one."""
    path = Path(what)
    if is_run(path):
        path = RunDirectory(path).encoder
        if not path.exists():
            raise MocoError(f"{what} has no encoder yet; it is written with the first checkpoint")
    if not path.is_file():
        return ""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"
