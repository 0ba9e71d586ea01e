"""A column a band: images are put together from what a table lists."""

import numpy as np
import pytest
import tifffile

from moco.data.check import check
from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.open import open_source
from moco.data.seen import seen
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.errors import MocoError

RANDOM = np.random.default_rng(0)


@pytest.fixture
def table(tmp_path):
    """Three images of three bands in files of any names, one of them with a band that is not listed."""
    images, rows = [], ["B10,label,B2,B8"]
    for i in range(3):
        values = RANDOM.integers(0, 3000, (16, 20, 3)).astype(np.uint16)
        names = [f"{i}_{word}.tif" for word in ("blue", "red", "far")]
        for name, plane in zip(names, values.transpose(2, 0, 1), strict=True):
            tifffile.imwrite(tmp_path / name, plane)
        rows.append(f"{names[2]},{'wood' if i else 'field'},{names[0]},{names[1]}")
        images.append(values)
    rows.append("0_far.tif,field,0_blue.tif,")
    (tmp_path / "x.csv").write_text("\n".join(rows))
    return tmp_path / "x.csv", images


def test_columns_become_bands_in_the_order_of_their_numbers(table):
    path, images = table
    source = open_source(f"stack:B{{band}}:{path}")
    assert source.bands == ["2", "8", "10"]
    assert "4 images of 3 bands (2, 8, 10)" in source.description
    found = decide(source, survey(source))
    assert found.pixels.channels == 3
    for i, values in enumerate(images):
        assert np.array_equal(decode(seen(source, found.pixels).raw(i)), values)
    assert [source.label(i) for i in range(3)] == ["field", "wood", "wood"]


def test_copies_are_told_by_what_all_bands_hold(table):
    path, _ = table
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[2]]))
    source = open_source(f"stack:B{{band}}:{path}")
    found = check(source, pixels=decide(source, survey(source)).pixels)
    assert found.duplicates == [["row 3 (1_blue.tif)", "row 5 (1_blue.tif)"]]


def test_columns_are_named_one_by_one_in_any_order(table):
    path, images = table
    source = open_source(f"stack:B10,B2:{path}")
    assert np.array_equal(source.native(1).values(), images[1][..., [2, 0]])


def test_a_row_without_a_band_is_named_with_its_reason(table):
    source = open_source(f"stack:B{{band}}:{table[0]}")
    assert source.name(3) == "row 5 (0_blue.tif)"
    with pytest.raises(Unreadable, match="band 8 missing"):
        source.native(3)


@pytest.mark.parametrize("columns", ["red,B2", "C{band}", ","])
def test_columns_that_are_not_there_are_refused_with_those_that_are(table, columns):
    with pytest.raises(MocoError, match=r"--stack .*it has B10, label, B2, B8"):
        open_source(f"stack:{columns}:{table[0]}")


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("B1,B2\n")
    with pytest.raises(MocoError, match="has no rows"):
        open_source(f"stack:B{{band}}:{tmp_path / 'x.csv'}")
