"""Runs compared from their folders, the page opened in a real browser."""

import shutil

import pytest
from PIL import Image
from serious import serious
from tiny import CPU, TINY

from moco.commands.compare import compare
from moco.commands.pretrain import pretrain
from moco.errors import MocoError
from moco.recipe import override, v2


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    """A folder like that of a study: two runs that differ in their temperature."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "photos").mkdir()
    for i in range(40):
        Image.fromarray(digits[0][i]).save(folder / "photos" / f"{i:02}.png")
    for n, temperature in enumerate((0.2, 0.07)):
        recipe = override(v2(), TINY | {"loss.temperature": temperature})
        pretrain(folder / "photos", folder / "runs" / f"cell-{n}", recipe, machine=CPU, until=2)
    return folder


def test_a_folder_of_runs_is_one_page_with_the_same_queries(study, tmp_path):
    page = compare([study / "runs"], tmp_path / "c.html").read_text()
    assert page.count('<div class="each">') == 2 * page.count('<div class="alike">')
    assert "loss.<wbr>temperature" in page
    assert "optim" not in page.partition('id="settings"')[2].partition('id="evaluations"')[0]


def test_damaged_lines_are_counted_and_deleted_images_told(study, tmp_path):
    folder = shutil.copytree(study, tmp_path / "study")
    with (folder / "runs" / "cell-0" / "log.jsonl").open("a") as log:
        log.write("nonsense\n{}\n" + '{"step": 2, "epoch": 0, "loss": 1.0}\n')
    record = folder / "runs" / "cell-0" / "data.json"
    record.write_text(record.read_text().replace(str(study / "photos"), str(tmp_path / "gone")))
    page = compare([folder / "runs" / "cell-0", folder / "runs" / "cell-1"], tmp_path / "c.html").read_text()
    assert "cell-0: 2 damaged lines of its log left out." in page
    assert "Neighbours are left out: the images of cell-0 cannot be opened" in page


def test_a_run_with_a_damaged_recipe_is_left_out_and_one_alone_is_refused(study, tmp_path):
    folder = shutil.copytree(study, tmp_path / "study")
    shutil.copytree(folder / "runs" / "cell-0", folder / "runs" / "cell-2")
    (folder / "runs" / "cell-2" / "recipe.json").write_text("{")
    page = compare([folder], tmp_path / "c.html", pictures=False).read_text()
    assert "cell-2 is left out:" in page
    (folder / "runs" / "cell-0" / "encoder.pt").write_bytes(b"damaged")
    page = compare([folder], tmp_path / "c.html").read_text()
    assert "The neighbours of cell-0 are left out:" in page
    assert page.count('<div class="each">') == page.count('<div class="alike">') > 0
    with pytest.raises(MocoError, match="is one run alone"):
        compare([folder / "runs" / "cell-0"], tmp_path / "c.html")
    with pytest.raises(MocoError, match="no runs are named"):
        compare([], tmp_path / "c.html")
    with pytest.raises(MocoError, match="is no run and holds none"):
        compare([study / "photos"], tmp_path / "c.html")
    with pytest.raises(MocoError, match="is no folder"):
        compare([tmp_path / "nowhere"], tmp_path / "c.html")


def test_the_page_loads_nothing_and_shows_all_by_day_and_night(study, tab, tmp_path):
    page = compare([study / "runs"], tmp_path / "c.html")
    for dark in (False, True):
        seen = tab(page, dark=dark)
        assert seen.errors == []
        assert len(seen.asked) == 1
        lines = seen.page.locator("svg.plot path.run1")
        assert lines.count() >= 1
        stroke = lines.first.evaluate("path => getComputedStyle(path).stroke")
        assert serious(seen) == []
        assert stroke == ("rgb(233, 164, 92)" if dark else "rgb(194, 106, 18)")
    phone = tab(page, width=390, height=800)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert serious(phone) == []
