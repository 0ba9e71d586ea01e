"""Tar shards here, over HTTP and in S3: the same images and steps everywhere, through an outage too."""

from __future__ import annotations

import time

import numpy as np
import pytest
from served_shards import (
    EACH,
    PATTERN,
    SHARDS,
    Bucket,
    Site,
    Whole,
    jpeg,
    outage,
    serve,
    stop,
    write_shard,
    write_shards,
)

from moco.data.cutting import read_or_next
from moco.data.loader import Plan, WorkerLoader
from moco.data.open import open_source
from moco.data.shard_names import expand
from moco.data.shard_store import Store
from moco.data.shard_table import read_table
from moco.data.source import Unreadable, fingerprint
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return write_shards(tmp_path / "data")


def plan_of(source, batch=8, epochs=2):
    return Plan(len(source), batch, epochs, 0, None, None if source.any_order else source)


def contents(source, start=0, workers=0):
    """What the steps contain: (index, pixels), step by step."""
    batches = WorkerLoader(source, Whole(), workers).batches(plan_of(source), start)
    return [(b.index.tolist(), b.pixels.numpy().tobytes(), b.skipped) for b in batches]


def test_braces_expand_as_in_a_shell():
    assert expand("a/{008..010}.tar") == ["a/008.tar", "a/009.tar", "a/010.tar"]
    assert expand("{x,y}/{0..1}.tar") == ["x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"]


def test_images_names_and_labels_are_those_of_the_members(folder):
    source = open_source(f"{folder}/{PATTERN}")
    assert len(source) == SHARDS * EACH
    for i in (0, 11, 12, 59):
        assert source.raw(i) == jpeg(i)
        assert source.name(i).endswith(f"{i // EACH:06}.tar/{i:09}.jpg")
        assert source.label(i) == f"c{i % 3}"
    assert len(open_source(f"{folder}/*.tar")) == len(source)


def test_shards_without_numbers_beside_them_are_counted_and_remembered(folder, tmp_path):
    whole = fingerprint(open_source(f"{folder}/{PATTERN}"))
    for path in folder.glob("*_stats.json"):
        path.unlink()
    assert fingerprint(open_source(f"{folder}/{PATTERN}")) == whole
    assert len(list((tmp_path / "cache").rglob("counts-*.json"))) == 1


def test_http_has_the_same_steps_with_and_without_workers_and_from_any_step_on(folder):
    here = contents(open_source(f"{folder}/{PATTERN}"))
    assert all(not skipped for _, _, skipped in here)
    server = serve(folder)
    try:
        source = open_source(f"http://127.0.0.1:{server.server_port}/{PATTERN}", Store(seconds=10))
        assert contents(source) == here
        assert contents(source, start=9, workers=2) == here[9:]
    finally:
        stop(server)


def test_a_resumed_run_fetches_only_the_shards_it_needs(folder):
    server = serve(folder)
    try:
        source = open_source(f"http://127.0.0.1:{server.server_port}/{PATTERN}", Store(seconds=10))
        index = plan_of(source).index(13)  # the last step but none of the second epoch
        for i in index:
            source.raw(int(i))
        fetched = {p for p in source.paths if source.store.place(p).exists()}
        assert fetched == {source.paths[source.place(int(i))[0]] for i in index}
    finally:
        stop(server)


def test_an_outage_in_the_middle_changes_nothing(folder):
    here = contents(open_source(f"{folder}/{PATTERN}"))
    site = Site(folder)
    source = open_source(site.url, Store(seconds=30))
    source.raw(int(plan_of(source).index(0)[0]))
    start = time.monotonic()
    with outage(site, 1.0):
        assert contents(source) == here
    assert time.monotonic() - start > 0.8, "it had to wait"
    site.stop()


def test_a_shard_that_stays_away_is_skipped_image_by_image_that_was_asked_for(folder):
    server = serve(folder)
    source = open_source(f"http://127.0.0.1:{server.server_port}/{PATTERN}", Store(seconds=0.3))
    source.raw(EACH)  # shard 1 is here
    stop(server)
    skipped = {}
    image = read_or_next(source, 3, skipped)
    assert list(skipped) == [3], "the other eleven images of shard 0 were not asked for"
    assert "cannot be reached, tried for 0 s" in skipped[3]
    assert np.array_equal(image, read_or_next(source, EACH, {}))
    start = time.monotonic()
    read_or_next(source, 4, skipped)
    assert time.monotonic() - start < 0.2, "what has failed is not waited for again"


def test_a_shard_that_is_gone_is_not_waited_for(folder):
    server = serve(folder)
    try:
        source = open_source(f"http://127.0.0.1:{server.server_port}/{PATTERN}", Store(seconds=30))
        (folder / "000002.tar").unlink()
        start = time.monotonic()
        with pytest.raises(Unreadable, match="no such shard"):
            source.raw(2 * EACH)
        assert time.monotonic() - start < 5
    finally:
        stop(server)


def test_bad_members_and_shards_cut_short_are_named(folder):
    write_shard(folder / "000001.tar", EACH, EACH, broken={EACH + 1})
    data = (folder / "000003.tar").read_bytes()
    (folder / "000003.tar").write_bytes(data[: len(data) // 2])
    source = open_source(f"{folder}/{PATTERN}")
    skipped = {}
    for i in range(len(source)):
        read_or_next(source, i, skipped)
    assert "damaged" in skipped[EACH + 1] or "truncated" in skipped[EACH + 1]
    lost = [i for i in skipped if i != EACH + 1]
    assert set(lost) < set(range(3 * EACH, 4 * EACH))
    assert {4 * EACH - 1} <= set(lost)
    assert source.name(EACH + 1).endswith(".jpg")


def test_the_cache_keeps_to_its_size(folder):
    server = serve(folder)
    size = (folder / "000000.tar").stat().st_size
    try:
        url = f"http://127.0.0.1:{server.server_port}/{PATTERN}"
        source = open_source(url, Store(gib=2.5 * size / 2**30, seconds=5))
        for i in range(0, len(source), EACH):
            assert source.raw(i) == jpeg(i)
            assert len(list(source.store.place(source.paths[0]).parent.glob("*.tar"))) <= 2
        assert source.raw(0) == jpeg(0), "fetched again"
    finally:
        stop(server)


def test_a_missing_shard_and_an_empty_pattern_say_so(folder, tmp_path):
    with pytest.raises(MocoError, match="there is no shard"):
        open_source(f"{folder}/{{000000..000009}}.tar")
    with pytest.raises(MocoError, match="no shard has such a name"):
        open_source(f"{tmp_path}/nothing/*.tar")


def test_the_index_of_a_fetched_shard_is_written_once_and_says_the_same(folder):
    path = str(folder / "000000.tar")
    scanned = read_table(path, keep=True)
    assert (folder / "000000.idx").read_text().startswith(f"v1.2 {EACH}\njpg ")
    again = read_table(path)
    assert again.names == scanned.names
    assert np.array_equal(again.spans, scanned.spans)


def test_a_real_s3_server_has_the_same_steps_and_may_go_away_for_a_while(folder, monkeypatch):
    bucket = Bucket(folder, monkeypatch)
    here = contents(open_source(f"{folder}/{PATTERN}"))
    source = open_source(bucket.url, Store(seconds=40))
    assert len(source) == SHARDS * EACH
    source.raw(0)
    with outage(bucket, 0.5):
        assert contents(source) == here
    bucket.stop()
