"""moco pack: every readable image once, small enough, with its class; and a training on it."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from moco.cli import main
from moco.commands.pack import Packing, pack
from moco.data.decode import decode
from moco.data.labelled import by_labels
from moco.data.loader import Plan
from moco.data.open import open_source
from moco.errors import MocoError
from moco.recipe import v2


@pytest.fixture
def photos(tmp_path):
    """Eleven images of two classes, three larger than 32 px, one broken."""
    for n in range(11):
        side = 80 if n % 4 == 0 else 24
        folder = tmp_path / "photos" / ("cat" if n % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 255, (side, side + 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:02}.{'png' if n % 3 == 0 else 'jpg'}")
    (tmp_path / "photos" / "cat" / "bad.jpg").write_bytes(b"\xff\xd8 and no more")
    return tmp_path / "photos"


SMALL = Packing(short_side=32, shard_images=5)


def snapshot(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_small_images_keep_their_bytes_large_ones_shrink_and_classes_stay(photos, tmp_path):
    done = pack(photos, tmp_path / "out", SMALL)
    before, after = open_source(photos), open_source(tmp_path / "out")
    readable = [i for i in range(len(before)) if not before.name(i).endswith("bad.jpg")]
    assert (done.images, done.shards, len(after)) == (11, 3, 11)
    assert [name for name, _ in done.skipped] == ["cat/bad.jpg"] or done.skipped[0][0].endswith("bad.jpg")
    for j, i in enumerate(readable):
        assert after.label(j) == before.label(i)
        height, width = decode(before.raw(i)).shape[:2]
        if min(height, width) <= 32:
            assert after.raw(j) == before.raw(i)
        else:
            assert decode(after.raw(j)).shape[:2] == (32, round(32 * width / height))
    assert by_labels(after).classes == ("cat", "dog")


def test_the_last_line_counts_one_shard_in_the_singular(photos, tmp_path, capsys):
    main(["pack", "--data", str(photos), "--out", str(tmp_path / "one")])
    assert "11 images in 1 shard, " in "".join(capsys.readouterr())
    main(["pack", "--data", str(photos), "--out", str(tmp_path / "three"), "--shard-images", "5"])
    assert "11 images in 3 shards, " in "".join(capsys.readouterr())


def test_a_packed_folder_is_read_in_any_order_like_a_folder(photos, tmp_path):
    pack(photos, tmp_path / "out", SMALL)
    for data in (tmp_path / "out", f"{tmp_path}/out/{{000000..000002}}.tar"):
        source = open_source(data)
        assert Plan.of(v2(), source).sharded is None
        assert len(source) == 11


def test_a_packing_that_was_stopped_goes_on_to_the_same_bytes(photos, tmp_path):
    pack(photos, tmp_path / "whole", SMALL)
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    for name in ("000001_stats.json", "000001.idx", "index.json"):
        (tmp_path / "part" / name).unlink()
    (tmp_path / "part" / "000001.tar").write_bytes(b"cut")
    (tmp_path / "part" / ".000002.tar.1.tmp").write_bytes(b"left")
    kept = (tmp_path / "part" / "000000.tar").stat().st_mtime_ns
    pack(photos, tmp_path / "part", SMALL, workers=2)
    assert snapshot(tmp_path / "part") == snapshot(tmp_path / "whole")
    assert (tmp_path / "part" / "000000.tar").stat().st_mtime_ns == kept


def test_two_processes_write_the_same_bytes_as_one(photos, tmp_path):
    pack(photos, tmp_path / "one", SMALL)
    pack(photos, tmp_path / "two", SMALL, workers=2)
    assert snapshot(tmp_path / "two") == snapshot(tmp_path / "one")


def test_what_is_there_is_not_overwritten_by_another_packing(photos, tmp_path):
    pack(photos, tmp_path / "out", SMALL)
    with pytest.raises(MocoError, match="short_side was 32, now 16"):
        pack(photos, tmp_path / "out", Packing(short_side=16, shard_images=5))
    with pytest.raises(MocoError, match="holds other files"):
        pack(photos, photos, SMALL)
    with pytest.raises(MocoError, match="--quality 0"):
        Packing(quality=0)


def test_the_index_is_that_of_wids(photos, tmp_path):
    pack(photos, tmp_path / "out", SMALL)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["wids_version"] == 1
    assert [shard["nsamples"] for shard in index["shardlist"]] == [4, 5, 2] or sum(
        shard["nsamples"] for shard in index["shardlist"]
    ) == 11


def test_arrays_are_packed_without_loss(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    pack(tmp_path / "x.npy", tmp_path / "out", SMALL)
    source = open_source(tmp_path / "out")
    assert all(np.array_equal(np.asarray(Image.open(io.BytesIO(source.raw(i)))), pixels[i]) for i in range(4))
