"""What is known about images, read from tables and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from moco.data.folder import Folder
from moco.data.pairs import Known, read_pairs
from moco.errors import MocoError

FILES = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png", "c/2.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name)
    return tmp_path


def read(folder: Path, table: str, window: float | None = None, asked: str = "", name: str = "t.csv") -> Known:
    (folder / name).write_text(table, encoding="utf-8")
    return read_pairs(f"{folder / name}{asked}", window, Folder(folder / "images"))


def parts(known: Known) -> list[list[int]]:
    """Which images are of one group, those that are alone left out."""
    groups: dict[int, list[int]] = {}
    for i, group in enumerate(known.groups.of.tolist()):
        groups.setdefault(group, []).append(i)
    return sorted(g for g in groups.values() if len(g) > 1)


def test_parent_makes_a_group_of_each_folder(folder: Path) -> None:
    known = read_pairs("parent", None, Folder(folder / "images"))
    assert parts(known) == [[0, 1], [2, 3], [4, 5]]
    assert known.lines == ["positives by their folders: 6 images in 3 groups of 2"]


@pytest.mark.parametrize("path", ["{}", "images/{}", "./images/{}", "{absolute}"])
def test_a_table_names_images_below_the_data_or_relative_to_itself_or_absolutely(folder: Path, path: str) -> None:
    rows = [path.format(f, absolute=folder / "images" / f) for f in FILES]
    known = read(folder, "path,group\n" + "".join(f"{r},{'xyxyxz'[i]}\n" for i, r in enumerate(rows)))
    assert parts(known) == [[0, 2, 4], [1, 3]]
    assert known.groups.alone == 1
    assert known.lines[0].endswith("5 images in 2 groups of 2 to 3, half of them of up to 2")
    assert known.lines[1] == "1 image is alone in its group and meets a second view of itself"


def test_data_behind_a_link_are_the_files_that_a_table_names(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "images")
    (folder / "t.csv").write_text("path,group\n" + "".join(f"images/{f},{i // 2}\n" for i, f in enumerate(FILES)))
    assert parts(read_pairs(str(folder / "t.csv"), None, Folder(folder / "linked"))) == [[0, 1], [2, 3], [4, 5]]


def test_another_column_of_a_tsv_is_named_behind_the_file(folder: Path) -> None:
    table = "File\tgroup\tTrack\n" + "".join(f"{f}\t{i}\t{i // 3}\n" for i, f in enumerate(FILES))
    assert parts(read(folder, table, asked=":track", name="t.tsv")) == [[0, 1, 2], [3, 4, 5]]


def test_rows_of_unknown_images_and_images_without_a_row_are_counted_with_an_example(folder: Path) -> None:
    known = read(folder, "path,group\na/1.png,x\nb/1.png,x\nnowhere.png,x\nc/1.png,\n")
    assert parts(known) == [[0, 2]]
    assert "1 row names no image of --data, such as nowhere.png" in known.lines
    assert "4 images are of no group in it, such as a/2.png" in known.lines


def test_times_within_a_window_of_one_another_are_one_group(folder: Path) -> None:
    times = ["100", "103", "200.5", "106", "", "1970-01-01T00:03:22"]
    known = read(folder, "path,time\n" + "".join(f"{f},{t}\n" for f, t in zip(FILES, times, strict=True)), window=5)
    assert parts(known) == [[0, 1, 3], [2, 5]]


def test_a_window_splits_the_groups_of_a_table_and_joins_none(folder: Path) -> None:
    rows = "".join(f"{f},{'camera' + 'ab'[i % 2]},{[0, 0, 1, 50, 2, 51][i]}\n" for i, f in enumerate(FILES))
    assert parts(read(folder, "path,group,timestamp\n" + rows, window=5)) == [[0, 2, 4], [3, 5]]


@pytest.mark.parametrize(
    ("table", "window", "asked", "says"),
    [
        ("path,group\nx.png,1\ny.png,1\n", None, "", "none of the 2 images it names is among those of --data"),
        ("path,group\na/1.png,1\na/1.png,2\n", None, "", "a/1.png is in it twice, with different groups .1 and 2."),
        ("path,group\n" + "".join(f"{f},1\n" for f in FILES[:4]), None, "", "4 of 6 images are of the group '1'"),
        ("path,group\n" + "".join(f"{f},{f}\n" for f in FILES), None, "", "no two images are of one group"),
        ("path,when\na/1.png,1\n", None, "", "there is no column group .it has path, when."),
        ("path,time\na/1.png,1\n", None, "", "add --pair-window 30s to group by time"),
        ("path,group\na/1.png,1\n", 5.0, "", "--pair-window needs a column time"),
        ("path,group\na/1.png,1\n", None, ":track", "there is no column 'track'; it has path, group"),
        ("path,time\na/1.png,noon\n", 5.0, "", "row 2: the time 'noon' is neither a number of seconds nor a date"),
        ("path,time\na/1.png,inf\n", 5.0, "", "'inf' is no finite number of seconds"),
        ("path,group\n", None, "", "no rows below its header"),
        ('path,group\n"a/1.png,1\n', None, "", "the table cannot be read"),
        ("a/1.png,1\nb/1.png,1\n", None, "", "its first line is an image and not a header"),
        ("path,group\n,1\n", None, "", "no row has a path"),
    ],
)
def test_a_table_that_says_nothing_or_contradicts_itself_is_refused_in_one_line(
    folder: Path, table: str, window: float | None, asked: str, says: str
) -> None:
    with pytest.raises(MocoError, match=says) as error:
        read(folder, table, window, asked)
    assert "\n" not in str(error.value)


def test_what_is_no_table_is_refused(folder: Path) -> None:
    source = Folder(folder / "images")
    with pytest.raises(MocoError, match=r"nowhere.csv: there is no such file; --pairs takes a .csv or .tsv"):
        read_pairs(str(folder / "nowhere.csv"), None, source)
    (folder / "list.txt").write_text("a/1.png\n")
    with pytest.raises(MocoError, match="a file of this kind is no table"):
        read_pairs(str(folder / "list.txt"), None, source)
    with pytest.raises(MocoError, match="folders have none"):
        read_pairs("parent", 5.0, source)


def test_images_in_no_folders_have_no_parents(folder: Path) -> None:
    with pytest.raises(MocoError, match="lie in no folders"):
        read_pairs("parent", None, Folder(folder / "images" / "a"))
