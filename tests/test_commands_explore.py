"""A map from images to a page: made once, gone on with after a stop, served, and exported."""

import http.client
import io
import json
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from explored import NASTY, make_run
from PIL import Image
from tiny import CPU

from moco.commands import embed_parts
from moco.commands.embed import embed_images
from moco.commands.explore import Wanted, explore, write_export
from moco.commands.explore import routes as routes_of
from moco.errors import MocoError
from moco.explore.export import refuse_export
from moco.loopback import Asked, Loopback
from moco.search.features import read_features, write_features

AUTO = replace(CPU, precision="auto")
"""Which measures what is fast, with gradients."""


class Told:
    """Keeps what is said."""

    def __init__(self):
        self.notes, self.counts = [], []

    def note(self, text):
        self.notes.append(text)

    def reading(self, what, total):
        return lambda done: self.counts.append((what, done, total))


@pytest.fixture(scope="module")
def made(made_once, digits):
    return made_once("explored", partial(make_run, digits=digits))


@pytest.fixture(scope="module")
def explored(made):
    return explore(made / "run", made / "photos", machine=CPU)


@pytest.fixture(scope="module")
def routes(explored):
    return routes_of(explored)


def rows_of(explored, sql):
    return explored.database.rows(sql)


def test_the_table_has_a_row_for_each_readable_image_and_finds_the_double(explored):
    assert explored.about.images == 65
    assert rows_of(explored, "SELECT COUNT(*) FROM images WHERE contains(file, 'broken')") == [(0,)]
    doubles = {name for (name,) in rows_of(explored, "SELECT file FROM images WHERE copies IS NOT NULL")}
    assert {"again.png", "digit 7/07.png"} <= doubles
    near = rows_of(explored, "SELECT distance, len(__neighbours.ids) FROM images WHERE file = 'again.png'")[0]
    assert near[0] == pytest.approx(0, abs=1e-5)
    assert near[1] == 24


def test_features_are_those_that_embed_gives_in_the_same_order(explored, made):
    ours, theirs = read_features(explored.kept.features), embed_images(made / "run", made / "photos", machine=CPU)
    assert ours.paths == theirs.paths
    np.testing.assert_allclose(ours.features, theirs.features, atol=1e-4)


def test_a_second_look_makes_nothing_again(explored, made, monkeypatch):
    monkeypatch.setattr("moco.commands.embed_parts.embed_in_parts", None)
    monkeypatch.setattr("moco.explore.layout.lay_out", None)
    told = Told()
    again = explore(made / "run", made / "photos", machine=CPU, tell=told)
    assert told.notes == []
    assert again.about == explored.about


OPENING = """
import sys
import moco.cli.explore
from moco.display import Terminal
from moco.commands import explore as opened
from moco.loopback import Asked

class Once:
    taken, port, address = False, 1, "the page"
    def __init__(self, routes, port):
        self.routes = routes
    def serve(self):
        for path in ("/", "/points.bin", "/thumb/0.jpg"):
            print(self.routes(Asked(path, {})).status)

opened.Loopback = Once
moco.cli.explore.run([*sys.argv[1:], "--no-browser"])
print(sorted({"torch", "torchvision", "umap", "sklearn", "scipy", "numba", "pandas"} & set(sys.modules)))
"""
"""What `moco explore` does to a map that is made, up to a small picture."""


def test_opening_a_map_that_is_made_loads_nothing_that_makes_one(explored, made):
    asked = [sys.executable, "-c", OPENING, str(made / "run"), "--data", str(made / "photos")]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-4:] == ["200", "200", "200", "[]"]


def test_another_number_of_clusters_embeds_nothing_again(made, tmp_path, monkeypatch):
    shutil.copytree(made / "run" / "explore", tmp_path / "explore")
    monkeypatch.setattr("moco.commands.embed_parts.embed_in_parts", None)
    found = explore(
        made / "run", made / "photos", out=tmp_path / "explore", wanted=Wanted(clusters=3, losses=True), machine=AUTO
    )
    assert rows_of(found, "SELECT COUNT(DISTINCT cluster) FROM images") == [(3,)]
    (losses,) = rows_of(found, "SELECT MIN(loss), MAX(loss) FROM images")
    assert 0 < losses[0] < losses[1], "each image has a loss of its own"


def test_a_stop_loses_one_part_at_most(made, tmp_path, monkeypatch):
    monkeypatch.setattr(embed_parts, "PART", 16)
    embedded = []
    whole = embed_parts._embedded

    def stopping(module, images, positions, *more):
        if len(embedded) == 2:
            raise KeyboardInterrupt
        embedded.append(int(positions[0]))
        return whole(module, images, positions, *more)

    monkeypatch.setattr(embed_parts, "_embedded", stopping)
    with pytest.raises(KeyboardInterrupt):
        explore(made / "run", made / "photos", out=tmp_path / "x", machine=CPU)
    assert embedded == [0, 16]
    monkeypatch.setattr(embed_parts, "_embedded", whole)
    (tmp_path / "x" / "parts" / "000000016.npz").write_bytes(b"cut short")
    told = Told()
    found = explore(made / "run", made / "photos", out=tmp_path / "x", machine=CPU, tell=told)
    assert found.about.images == 65
    assert any(note == "1 image cannot be read and is left out" for note in told.notes)
    assert not (tmp_path / "x" / "parts").exists()


def test_features_in_a_file_are_explored_beside_it_and_deleted_images_are_grey_tiles(made, tmp_path):
    shutil.copytree(made / "photos", tmp_path / "photos")
    write_features(tmp_path / "f.npz", embed_images(made / "run", tmp_path / "photos", machine=CPU))
    (tmp_path / "photos" / "again.png").unlink()
    found = explore(tmp_path / "f.npz", machine=CPU)
    assert found.kept.folder == tmp_path / "f.npz.explore"
    tiles = found.tiles(found.database)
    (gone,), (there,) = rows_of(
        found, "SELECT __row FROM images WHERE file IN ('again.png', 'digit 7/07.png') ORDER BY 1"
    )
    grey = np.asarray(Image.open(io.BytesIO(tiles.small(gone))).convert("RGB")).reshape(-1, 3)
    assert (abs(grey.astype(int) - [200, 204, 210]).max(axis=1) < 12).mean() > 0.6, "grey, with words on it"
    assert np.asarray(Image.open(io.BytesIO(tiles.small(there)))).max() > 250


def test_images_that_have_changed_are_told_and_the_map_still_opens(made, tmp_path):
    shutil.copytree(made / "photos", tmp_path / "photos")
    explore(made / "run", tmp_path / "photos", out=tmp_path / "x", machine=CPU)
    (tmp_path / "photos" / "again.png").unlink()
    (note,) = explore(made / "run", tmp_path / "photos", out=tmp_path / "x", machine=CPU).about.notes
    assert "have changed since this map was made (65 now)" in note
    shutil.rmtree(tmp_path / "photos")
    (note,) = explore(made / "run", tmp_path / "photos", out=tmp_path / "x", machine=CPU).about.notes
    assert "cannot be opened" in note


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/thumb/../../../etc/passwd", "/thumb/..%2f..%2fetc%2fpasswd", "/thumb/-1.jpg",
        "/thumb/99999.jpg", "/thumb/1.png", "/image/0.jpg/../../x", "//etc/passwd", "/explore.html", "/page.html",
        "/thumb/٣.jpg", "/%00", "/recipe.json", "/features.npz",
    ],
)  # fmt: skip
def test_no_address_leads_out_of_the_page(routes, path):
    assert routes(Asked(path, {})).status == 404
    with Loopback(routes, 5470).serving() as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as raw:  # no client tidies the path up
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
            assert raw.makefile("rb").read().startswith(b"HTTP/1.1 404")


def test_the_database_reads_no_files_and_changes_no_settings(routes):
    for sql in (
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY images TO '/tmp/x.csv'",
        "SET enable_external_access = true",
    ):
        for kind in ("arrow", "exec"):
            given = routes(Asked("/query", {}, json.dumps({"type": kind, "sql": sql}).encode()))
            assert given.status == 400
    assert routes(Asked("/query", {}, b"nonsense")).status == 400
    assert routes(Asked("/query", {}, b'{"type": "python", "sql": "1"}')).status == 400


def test_an_answer_without_end_is_refused_and_put_on_no_disk(routes, tmp_path, monkeypatch):
    monkeypatch.setattr("moco.explore.database.MOST_BYTES", 1 << 20)
    monkeypatch.chdir(tmp_path)
    given = routes(Asked("/query", {}, b'{"type": "arrow", "sql": "SELECT * FROM range(1000000000000)"}'))
    assert (given.status, given.body) == (400, b"the answer takes more than 1 MiB; ask for less")
    assert routes.database.rows("SELECT current_setting('temp_directory')") == [("",)]
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_found_by_itself_and_what_is_none_is_refused_in_words(routes, made, explored):
    given = routes(Asked("/search/image", {}, (made / "photos" / "again.png").read_bytes()))
    best = json.loads(given.body)[:2]
    assert {rows_of(explored, f"SELECT file FROM images WHERE __row = {one['row']}")[0][0] for one in best} == {
        "again.png", "digit 7/07.png",
    }  # fmt: skip
    assert best[0]["cosine"] == pytest.approx(1, abs=1e-3)
    refused = routes(Asked("/search/image", {}, b"no image"))
    assert (refused.status, refused.body[:28]) == (400, b"this image cannot be read: t")
    assert routes(Asked("/search/text", {}, b"a seven")).status == 404, "no encoder here reads words"


def test_names_never_become_html(routes, explored):
    html = routes(Asked("/", {})).body.decode()
    assert "alert(1)" not in html
    names = {name for (name,) in rows_of(explored, "SELECT file FROM images")}
    assert f"digit 3/{NASTY[1]}" in names


def test_an_export_holds_all_that_its_page_asks_for(explored, tmp_path):
    told = Told()
    write_export(explored, tmp_path / "site", told)
    there = {path.name for path in (tmp_path / "site").iterdir()}
    assert there == {
        "index.html", "explore.js", "explore-map.js", "parts.js", "backend.js", "atlas.js", "points.bin",
        "images.arrow", "duckdb-wasm", "duckdb.wasm", "duckdb.worker.js", "thumb",
    }  # fmt: skip
    assert len(list((tmp_path / "site" / "thumb").iterdir())) == 65
    assert told.counts[-1] == ("small pictures", 65, 65)
    refuse_export(tmp_path / "site")  # may be written again
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(MocoError, match="holds other files"):
        refuse_export(tmp_path / "other")
    with pytest.raises(MocoError, match="is a file"):
        refuse_export(tmp_path / "other" / "mine.txt")


def test_what_cannot_be_explored_is_told_in_a_sentence(made, tmp_path):
    with pytest.raises(MocoError, match=r"--data is missing: .* name them"):
        explore(tmp_path)
    with pytest.raises(MocoError, match="there is no file of features"):
        explore(tmp_path / "f.npz")
    (tmp_path / "one").mkdir()
    shutil.copy(made / "photos" / "again.png", tmp_path / "one")
    with pytest.raises(MocoError, match="at least two images"):
        explore(made / "run", tmp_path / "one", out=tmp_path / "x", machine=CPU)


@pytest.mark.parametrize(
    ("wrong", "says"), [({"threshold": 1.5}, "--threshold 1.5"), ({"clusters": 0}, "--clusters 0")]
)
def test_what_makes_no_sense_is_refused_before_anything_takes_time(wrong, says):
    with pytest.raises(MocoError, match=says):
        Wanted(**wrong)


def test_without_the_page_the_extra_is_named(made, monkeypatch):
    monkeypatch.setattr("moco.explore.atlas.find_spec", lambda name: None)
    with pytest.raises(MocoError, match=r"explore needs embedding-atlas: pip install 'momentum-contrast\[explore\]'"):
        explore(made / "run")


def test_it_stops_at_ctrl_c_and_frees_its_port(routes, monkeypatch):
    server = Loopback(routes, 5480)
    with server.serving():
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/thumb/0.jpg")
        assert connection.getresponse().read()[:2] == b"\xff\xd8"
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_the_folders_of_a_split_are_no_labels(made, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(made / "photos" / "digit 3", tmp_path / "photos" / part / "digit 3")
        shutil.copytree(made / "photos" / "digit 7", tmp_path / "photos" / part / "digit 7")
    found = explore(made / "run", tmp_path / "photos", out=tmp_path / "x", machine=CPU)
    assert {label for (label,) in rows_of(found, "SELECT DISTINCT label FROM images")} == {"digit 3", "digit 7"}
