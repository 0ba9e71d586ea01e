"""Listing: images named in a text file or a table."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from PIL import Image

from moco.data.listing import Listing
from moco.data.source import Unreadable
from moco.errors import MocoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b c.png", "sub/d,e.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def listing(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Listing:
    (folder / name).write_text(text, encoding=encoding)
    return Listing(folder / name)


def names(source: Listing) -> list[str]:
    return [source.name(i) for i in range(len(source))]


def test_a_text_list_keeps_its_order_and_skips_comments_and_blank_lines(folder: Path) -> None:
    source = listing(folder, "l.txt", f"# mine\nsub/b c.png\r\n\n  a.png  \n{folder}/a.png\na.png", "utf-8-sig")
    assert names(source) == ["sub/b c.png", "a.png", f"{folder}/a.png", "a.png"]
    assert all(source.raw(i).startswith(b"\x89PNG") for i in range(4))
    assert source.label(0) is None


@pytest.mark.parametrize("column", ["path", "File", "filename", " image "])
def test_a_table_is_read_by_the_names_of_its_columns(folder: Path, column: str) -> None:
    source = listing(
        folder, "l.csv", f'id,{column},Label\n1,"sub/d,e.png",dog\n2,a.png,\n3,,cat\n4,a.png\n', "utf-8-sig"
    )
    assert names(source) == ["sub/d,e.png", "a.png", "a.png"]
    assert [source.label(i) for i in range(3)] == ["dog", None, None]
    assert source.raw(0)


def test_the_first_column_has_the_paths_if_none_says_so(folder: Path) -> None:
    source = listing(folder, "l.tsv", "img\tclass\nsub/d,e.png\tdog\n")
    assert names(source) == ["sub/d,e.png"]
    assert source.label(0) == "dog"


def test_a_table_without_header_is_refused(folder: Path) -> None:
    with pytest.raises(MocoError, match="put a line above it such as path,label"):
        listing(folder, "l.csv", "a.png,dog\n")


def test_a_missing_file_is_one_unreadable_image(folder: Path) -> None:
    with pytest.raises(Unreadable, match="no such file"):
        listing(folder, "l.txt", "a.png\ngone.png\n").raw(1)


def test_a_list_that_leads_nowhere_and_an_empty_one_are_refused(folder: Path) -> None:
    with pytest.raises(MocoError, match="none of the files it lists is there"):
        listing(folder, "l.txt", "photos/a.png\nphotos/b.png\n")
    for name, text in (("l.txt", "# nothing\n"), ("l.csv", ""), ("m.csv", "path,label\n")):
        with pytest.raises(MocoError, match="names no image"):
            listing(folder, name, text)
    with pytest.raises(MocoError, match="cannot be read"):
        Listing(folder / "none.txt")
    with pytest.raises(MocoError, match=r"not a table \(line 2: "):
        listing(folder, "l.csv", 'path\n"a.png"b\n')


def test_a_pickled_list_reads_the_same(folder: Path) -> None:
    source = listing(folder, "l.csv", "path,label\na.png,x\n")
    again = pickle.loads(pickle.dumps(source))
    assert again.raw(0) == source.raw(0)
    assert again.label(0) == "x"
