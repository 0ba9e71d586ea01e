"""From images to tables and contact sheets, as a user finds things in a folder with one broken and one double file."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CPU, TINY

from moco.commands.cut_as_seen import cut_as_seen
from moco.commands.embed import embed_images, features_of
from moco.commands.find import find_clusters, find_duplicates, find_neighbours, find_outliers
from moco.commands.pretrain import pretrain
from moco.data.open import open_source
from moco.errors import MocoError
from moco.recipe import override, v2
from moco.run.load import load
from moco.search.features import read_features


@pytest.fixture(scope="module")
def photos(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(30):
        path = folder / str(digits[1][i]) / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(digits[0][i]).save(path)
    Image.fromarray(digits[0][7]).save(folder / "again.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    np.save(folder / "digits.npy", digits[0][:64])
    return pretrain(folder / "digits.npy", folder / "run", override(v2(), TINY), machine=CPU, until=1)


@pytest.fixture(scope="module")
def found(photos, run):
    return embed_images(run, photos, machine=CPU)


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_features_are_what_load_gives_with_paths_and_labels(found, photos, run, digits):
    assert found.features.shape == (31, 64)
    assert len(found.paths) == len(found.labels) == 31
    assert not any("broken" in path for path in found.paths)
    place = next(i for i, path in enumerate(found.paths) if path.endswith("07.png"))
    assert found.labels[place] == str(digits[1][7])
    encoder, preprocess = load(run)
    with torch.no_grad():
        expected = encoder(preprocess(np.stack([digits[0][7]] * 3, axis=2))[None])[0].numpy()
    assert np.allclose(found.features[place], expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_file_of_features_comes_back_as_it_was(suffix, found, photos, run, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    path = tmp_path / f"f{suffix}"
    embed_images(run, photos, path, machine=CPU)
    again = read_features(path)
    assert np.array_equal(again.features, found.features)
    assert np.array_equal(again.index, found.index)
    assert (again.paths, again.labels, again.data) == (found.paths, found.labels, found.data)
    assert np.array_equal(features_of(path, None).features, found.features)


def test_the_double_is_its_images_first_neighbour_and_a_duplicate(found, tmp_path):
    find_neighbours(found, tmp_path, k=3)
    rows = [r for r in table(tmp_path / "neighbours.csv") if r["image"].endswith("again.png")]
    assert [r["rank"] for r in rows] == ["1", "2", "3"]
    assert rows[0]["neighbour"].endswith("07.png")
    assert rows[0]["cosine"] == "1.0000"
    find_duplicates(found, tmp_path, threshold=0.99999)
    groups = [r["image"][-9:] for r in table(tmp_path / "duplicates.csv")]
    assert sorted(groups) == sorted(
        found.paths[i][-9:] for i in range(31) if found.paths[i][-6:] in ("07.png", "in.png")
    )
    for name in ("neighbours", "duplicates"):
        with Image.open(tmp_path / f"{name}.png") as sheet:
            assert len(np.unique(np.asarray(sheet.convert("L")))) > 10, "images are on it"


def test_every_image_is_in_the_tables_of_outliers_and_clusters_once(found, tmp_path):
    find_outliers(found, tmp_path, k=5)
    rows = table(tmp_path / "outliers.csv")
    assert sorted(r["image"] for r in rows) == sorted(found.paths)
    distances = [float(r["distance"]) for r in rows]
    assert distances == sorted(distances, reverse=True)
    find_clusters(found, tmp_path, k=4)
    rows = table(tmp_path / "cluster.csv")
    assert sorted(r["image"] for r in rows) == sorted(found.paths)
    assert {r["group"] for r in rows} == {"1", "2", "3", "4"}
    assert (tmp_path / "outliers.png").exists()
    assert (tmp_path / "cluster.png").exists()


def test_other_images_are_looked_up(found, photos, run, tmp_path):
    queries = embed_images(run, photos / found.labels[0], machine=CPU)
    find_neighbours(found, tmp_path, k=1, queries=queries)
    rows = table(tmp_path / "neighbours.csv")
    assert len(rows) == len(queries.paths)
    assert all(r["cosine"] == "1.0000" for r in rows), "each is among the images itself"


def test_nothing_found_leaves_no_sheet_of_an_earlier_search(found, tmp_path):
    find_duplicates(found, tmp_path, threshold=0.99999)
    assert (tmp_path / "duplicates.png").exists()
    few = type(found)(**{**vars(found), "features": np.eye(31, dtype=np.float32)})
    find_duplicates(few, tmp_path, threshold=0.5)
    assert not (tmp_path / "duplicates.png").exists()
    assert table(tmp_path / "duplicates.csv") == []


def test_what_cannot_be_searched_is_a_sentence(found, run, photos, tmp_path):
    with pytest.raises(MocoError, match=r"--data is missing"):
        features_of(run, None)
    with pytest.raises(MocoError, match=r"\.npz or \.parquet"):
        embed_images(run, photos, tmp_path / "f.csv")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(MocoError, match="it holds images"):
        features_of(tmp_path / "other.npz", None)
    (tmp_path / "half.npz").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(MocoError, match="not a file of features"):
        features_of(tmp_path / "half.npz", None)
    with pytest.raises(MocoError, match=r"--threshold 2"):
        find_duplicates(found, tmp_path, threshold=2)
    with pytest.raises(MocoError, match=r"--k 0"):
        find_clusters(found, tmp_path, k=0)


def test_pages_of_files_are_named_and_shown_one_by_one(digits, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    folder = tmp_path / "stacks"
    folder.mkdir()
    for i in range(20):
        tifffile.imwrite(folder / f"{i:02}.tif", digits[0][2 * i : 2 * i + 2], photometric="minisblack")
    run = pretrain(folder, tmp_path / "run", override(v2(), TINY), machine=CPU, until=1)
    found = embed_images(run / "encoder.pt", folder, machine=CPU)
    out = find_outliers(found, tmp_path / "out", k=3)
    assert {row["image"] for row in table(out / "outliers.csv")} == {
        f"{i:02}.tif, page {k}" for i in range(20) for k in (0, 1)
    }
    assert cut_as_seen(open_source(found.data), found.encoder).name(39) == "19.tif, page 1"
    assert (out / "outliers.png").exists()
