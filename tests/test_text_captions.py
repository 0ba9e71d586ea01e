"""Captions: which source says what about each image, and what is left out."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from moco.data.open import open_source
from moco.data.shard_table import index_bytes, scan
from moco.errors import MocoError
from moco.text.captions import Captions, captioned, split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    return tmp_path


def of_table(folder: Path, text: str | bytes, name: str = "t.csv") -> Captions:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return captioned(str(path), open_source(path))


def test_a_table_gives_each_image_its_caption_in_one_line(folder: Path) -> None:
    found = of_table(folder, 'id,Path,Caption\n1,0.png,a  red\n2,1.png,"two\nlines, and a comma"\n')
    assert found.texts == ["a red", "two lines, and a comma"]
    assert [found.source.name(i) for i in range(2)] == ["0.png", "1.png"]
    assert found.lines == ["2 images with captions, 2 of them different"]


def test_a_caption_of_any_length_is_read_whole(folder: Path) -> None:
    found = of_table(folder, "path,caption\n0.png,red\n1.png," + "blue " * 50_000 + "\n")
    assert [len(text.split()) for text in found.texts] == [1, 50_000]


def test_images_with_an_empty_caption_are_left_out_and_counted(folder: Path) -> None:
    found = of_table(folder, "path,caption\n0.png,red\n1.png,   \n2.png\n3.png,red\n")
    assert found.texts == ["red", "red"]
    assert [found.source.name(i) for i in range(len(found.source))] == ["0.png", "3.png"]
    assert found.source.raw(1) == (folder / "3.png").read_bytes()
    assert found.lines == [
        "2 images with captions, 1 of them different",
        "2 images have no caption and are left out, such as 1.png",
    ]


def test_a_table_in_another_encoding_is_read_and_said(folder: Path) -> None:
    found = of_table(folder, "path,caption\n0.png,caf\xe9\n1.png,plain\n".encode("cp1252"))
    assert found.texts == ["café", "plain"]
    assert found.lines[-1].startswith("1 caption not in UTF-8, read as Windows-1252")
    assert of_table(folder, b"\xef\xbb\xbfpath,caption\n0.png,caf\xc3\xa9\n").texts == ["café"]
    with pytest.raises(MocoError, match=r"t\.csv is in UTF-16; save it as UTF-8"):
        of_table(folder, "path,caption\n0.png,x\n".encode("utf-16"))


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("path,label\n0.png,x\n", "there is no column caption; it has path, label"),
        ("path,caption\n0.png,\n1.png,  \n", "all 2 captions are empty"),
    ],
)
def test_what_has_no_captions_is_refused_in_a_line(folder: Path, table: str, says: str) -> None:
    with pytest.raises(MocoError, match=says) as error:
        of_table(folder, table)
    assert "\n" not in str(error.value)


def test_a_folder_has_no_captions(folder: Path) -> None:
    with pytest.raises(MocoError, match=r"6 images has no captions; image-text takes a \.csv"):
        captioned(str(folder), open_source(folder))


def test_shards_have_captions_in_a_txt_or_a_json_beside_the_image(folder: Path) -> None:
    path = folder / "s-000.tar"
    beside = [("txt", b"from the txt"), ("json", json.dumps({"caption": "from the json"}).encode()), ("cls", b"3")]
    with tarfile.open(path, "w") as tar:
        for i, (suffix, content) in enumerate(beside):
            for name, data in ((f"{i}.png", (folder / f"{i}.png").read_bytes()), (f"{i}.{suffix}", content)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    path.with_suffix(".idx").write_bytes(index_bytes(scan(str(path))[0]))
    data = str(folder / "s-{000..000}.tar")
    found = captioned(data, open_source(data))
    assert found.texts == ["from the txt", "from the json"]
    assert found.lines[1].startswith("1 image has no caption and is left out, such as")


def test_what_is_held_out_is_a_function_of_the_seed_and_never_learnt_from(folder: Path) -> None:
    whole = of_table(folder, "path,caption\n" + "".join(f"{i}.png,number {i}\n" for i in range(6)))
    learnt, held = split(whole, 0.34, seed=3)
    assert (len(learnt.texts), len(held.texts)) == (4, 2)
    assert sorted(learnt.texts + held.texts) == [f"number {i}" for i in range(6)]
    for part in (learnt, held):
        assert [f"number {part.source.name(i)[0]}" for i in range(len(part.texts))] == part.texts
    assert split(whole, 0.34, seed=3)[1].texts == held.texts
    some = of_table(folder, "path,caption\n0.png,\n" + "".join(f"{i}.png,number {i}\n" for i in range(1, 6)))
    learnt, _ = split(some, 0.34, seed=3)
    assert [f"number {learnt.source.name(i)[0]}" for i in range(len(learnt.texts))] == learnt.texts
    assert learnt.source.description.endswith("6 images, 3 of them"), "of the whole, and not of what is left of it"
    with pytest.raises(MocoError, match="too few to hold 2 of them out"):
        split(of_table(folder, "path,caption\n0.png,a\n1.png,b\n2.png,c\n"), 0.1, 0)
