"""A map of a run with `--pairs`: a column and a colour of its groups."""

from __future__ import annotations

import shutil

import pytest
from contracts.test_resume import small
from explored import make_photos
from PIL import Image
from tiny import CPU

from moco.commands.explore import explore, routes
from moco.commands.pairs import AskedPairs
from moco.commands.pretrain import pretrain
from moco.commands.tell import Silent
from moco.loopback import Asked


class Told(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    """48 digits, of which a table says which three belong together, and nothing of the last three."""
    folder = tmp_path_factory.mktemp("paired")
    (folder / "photos").mkdir()
    lines = ["path,group"]
    for i, image in enumerate(digits[0][:48]):
        Image.fromarray(image).convert("RGB").save(folder / "photos" / f"{i:02}.png")
        if i < 45:
            lines.append(f"{i:02}.png,plant {i // 3:02}")
    (folder / "groups.csv").write_text("\n".join(lines))
    pairs = AskedPairs(str(folder / "groups.csv"))
    pretrain(folder / "photos", folder / "run", small("v2", epochs=1), machine=CPU, pairs=pairs)
    return folder


def test_each_image_has_the_group_that_the_table_names(made):
    found = explore(made / "run", machine=CPU)
    rows = dict(found.database.rows('SELECT file, "group" FROM images'))
    assert len(rows) == 48
    for i in range(48):
        assert rows[f"{i:02}.png"] == (f"plant {i // 3:02}" if i < 45 else None)


def test_the_map_can_be_coloured_by_group(made):
    answers = routes(explore(made / "run", machine=CPU))
    html = answers(Asked("/", {})).body.decode()
    assert '"name": "group", "kind": "category"' in html
    assert '"plant 00"' in html


def test_groups_that_have_changed_are_left_out_and_that_is_told(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "paired")
    table = folder / "groups.csv"
    record = folder / "run" / "pairs.json"
    record.write_text(record.read_text().replace(str(made), str(folder)))
    data = folder / "run" / "data.json"
    data.write_text(data.read_text().replace(str(made), str(folder)))
    table.write_text(table.read_text().replace("44.png,plant 14", "44.png,plant 13"))
    told = Told()
    found = explore(folder / "run", machine=CPU, tell=told)
    assert "group" not in {name for (name,) in found.database.rows("SELECT column_name FROM (DESCRIBE images)")}
    assert any("no colours by group: " in note and "no longer makes the groups" in note for note in told.notes)


def test_other_images_have_none_of_its_groups(made, digits, tmp_path):
    make_photos(tmp_path / "photos", digits)
    told = Told()
    found = explore(made / "run", tmp_path / "photos", out=tmp_path / "x", machine=CPU, tell=told)
    assert "group" not in {name for (name,) in found.database.rows("SELECT column_name FROM (DESCRIBE images)")}
    assert not any("group" in note for note in told.notes)
