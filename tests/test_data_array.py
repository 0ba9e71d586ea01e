"""Array: images in .npy and .npz files of every shape and type."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from moco.data.array import Array
from moco.data.decide import decide
from moco.data.open import open_source
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.errors import MocoError


def saved(path: Path, images: object) -> Array:
    np.save(path, images)  # type: ignore[arg-type]
    return Array(path)


@pytest.mark.parametrize(
    "shape", [(5, 8, 9), (5, 8, 9, 1), (5, 8, 9, 3), (5, 8, 9, 4), (5, 1, 8, 9), (5, 3, 8, 9), (5, 4, 8, 9)]
)
def test_every_shape_becomes_height_by_width_by_3(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 255, np.uint8)
    source = saved(tmp_path / "a.npy", pixels)
    assert len(source) == 5
    assert source.raw(4).shape == (8, 9, 3)
    assert source.name(4) == "row 4"
    assert source.label(4) is None


def test_channels_first_and_last_show_the_same_image(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 9, 3)).astype(np.uint8)
    first = saved(tmp_path / "a.npy", images.transpose(0, 3, 1, 2))
    assert np.array_equal(first.raw(2), images[2])
    assert np.array_equal(saved(tmp_path / "b.npy", images).raw(2), images[2])


def test_every_type_is_scaled_to_8_bits(tmp_path: Path) -> None:
    def first(values: np.ndarray) -> list[int]:
        return saved(tmp_path / "a.npy", np.tile(values, (2, 8, 4))).raw(0)[0, : len(values), 0].tolist()

    assert first(np.array([0, 257, 40000, 65535], np.uint16)) == [0, 1, 156, 255]
    assert first(np.array([0, 4095], np.uint16)) == [0, 255]
    assert first(np.array([False, True])) == [0, 255]
    assert first(np.array([0, 0.5, 1], np.float32)) == [0, 128, 255]
    assert first(np.array([0, 0.5, 1], np.float16)) == [0, 128, 255]


def test_numbers_outside_0_and_1_are_no_photograph_and_are_kept_as_they_are(tmp_path: Path) -> None:
    for values in (np.full((2, 8, 8), 200.0), np.full((2, 8, 8), -0.1), np.zeros((2, 8, 8), np.int64)):
        source = saved(tmp_path / "a.npy", values)
        with pytest.raises(Unreadable, match="--range says what is white"):
            source.raw(0)
        assert np.array_equal(source.native(1), values[1])


def test_what_are_no_real_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MocoError, match="save uint8"):
        saved(tmp_path / "a.npy", np.zeros((2, 8, 8), np.complex64))


def test_any_number_of_bands_is_kept_with_the_bands_last(tmp_path: Path) -> None:
    for shape in ((2, 16, 20, 12), (2, 12, 16, 20)):
        source = saved(tmp_path / "a.npy", np.zeros(shape, np.uint16))
        assert source.native(0).shape == (16, 20, 12)
        with pytest.raises(Unreadable, match="12 bands are no photograph"):
            source.raw(0)


def test_one_image_out_of_range_is_unreadable_and_the_others_are_not(tmp_path: Path) -> None:
    images = np.zeros((1000, 4, 4))
    images[502] = 2
    source = saved(tmp_path / "a.npy", images)
    assert source.raw(500).max() == 0
    with pytest.raises(Unreadable, match="not from 0 to 1"):
        source.raw(502)


def test_shapes_that_are_no_images_are_refused(tmp_path: Path) -> None:
    for shape in ((5,), (5, 64), (5, 3, 2, 8, 9)):
        with pytest.raises(MocoError, match="reshape it"):
            saved(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    for shape in ((0, 8, 8), (5, 2, 2)):
        with pytest.raises(MocoError, match="4 pixels or more"):
            saved(tmp_path / "a.npy", np.zeros(shape, np.uint8))


@pytest.mark.parametrize("images", ["images", "x", "data", "arr_0"])
@pytest.mark.parametrize("labels", ["labels", "y", "targets"])
def test_an_npz_has_images_and_labels_under_the_usual_names(tmp_path: Path, images: str, labels: str) -> None:
    np.savez(tmp_path / "a.npz", **{images: np.zeros((3, 8, 8), np.uint8), labels: np.array([7, 0, 7])})
    source = Array(tmp_path / "a.npz")
    assert [source.label(i) for i in range(3)] == ["7", "0", "7"]


def test_labels_may_be_words_or_a_column_of_whole_numbers(tmp_path: Path) -> None:
    for labels, seen in ((np.array(["cat", "dog"]), "cat"), (np.array([[3.0], [4.0]]), "3")):
        np.savez_compressed(tmp_path / "a.npz", x=np.zeros((2, 8, 8), np.uint8), y=labels)
        assert Array(tmp_path / "a.npz").label(0) == seen


def test_files_that_are_not_arrays_of_images_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "keys.npz", weights=np.zeros(3))
    with pytest.raises(MocoError, match=r"holds weights.*looked for under images"):
        Array(tmp_path / "keys.npz")
    np.savez(tmp_path / "few.npz", x=np.zeros((3, 8, 8), np.uint8), y=np.zeros(2))
    with pytest.raises(MocoError, match="one label an image"):
        Array(tmp_path / "few.npz")
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "npz.npy").write_bytes((tmp_path / "few.npz").read_bytes())
    (tmp_path / "npy.npz").write_bytes((tmp_path / "objects.npy").read_bytes())
    for name in ("objects.npy", "text.npy", "empty.npz", "text.npz", "npz.npy", "npy.npz", "gone.npy"):
        with pytest.raises(MocoError, match="NumPy cannot read this"):
            Array(tmp_path / name)


def test_a_pickled_array_is_small_and_reads_the_same(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(50))
    for source in (saved(tmp_path / "a.npy", images), Array(tmp_path / "a.npz")):
        packed = pickle.dumps(source)
        assert len(packed) < 5000
        assert np.array_equal(pickle.loads(packed).raw(7), images[7])
        assert pickle.loads(packed).label(7) == source.label(7)


@pytest.mark.parametrize("shape", [(6, 16, 18, 7), (6, 7, 16, 18), (6, 16, 18)])
@pytest.mark.parametrize("form", [2, 3])
def test_a_zarr_array_is_read_chunk_by_chunk(tmp_path: Path, shape: tuple[int, ...], form: int) -> None:
    zarr = pytest.importorskip("zarr")
    values = np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)
    zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(1, *shape[1:]), zarr_format=form)
    source = open_source(tmp_path / "a.zarr")
    bands_last = values.transpose(0, 2, 3, 1) if shape[1] == 7 else values
    assert np.array_equal(pickle.loads(pickle.dumps(source)).native(3), bands_last[3])  # type: ignore[attr-defined]
    found = decide(source, survey(source)).pixels
    assert found is not None
    assert (found.channels, found.kind) == (7 if len(shape) == 4 else 1, "uint16")


def test_a_zarr_group_has_images_and_labels(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.create_group(tmp_path / "a.zarr")
    for name, values in (("images", np.zeros((4, 8, 8, 3), np.uint8)), ("labels", np.array([3, 1, 4, 1]))):
        group.create_array(name, shape=values.shape, dtype=values.dtype)[:] = values
    source = open_source(tmp_path / "a.zarr")
    assert [source.label(i) for i in range(4)] == ["3", "1", "4", "1"]
    assert source.raw(0).shape == (8, 8, 3)  # type: ignore[union-attr]


def test_without_zarr_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    monkeypatch.setattr("moco.data.array.has", lambda package: False)
    with pytest.raises(MocoError, match="a zarr array takes pip install"):
        open_source(tmp_path / "a.zarr")


def test_a_zarr_that_is_broken_is_said_to_be(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{broken")
    with pytest.raises(MocoError, match=r"--data .*a\.zarr: .* cannot read this"):
        open_source(tmp_path / "a.zarr")
