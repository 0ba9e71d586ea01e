"""The report in a real browser: nothing leaves the page, names run nothing, everything can be read and taken along."""

import csv
import io
import json
import re
import shutil

import pytest
from PIL import Image
from serious import serious

from moco.commands.report import report
from moco.data.open import open_source
from moco.data.source import fingerprint
from moco.encoder import build_encoder
from moco.machine import Machine
from moco.protocols.result import Cell, Result
from moco.recipe import cifar, override
from moco.run.directory import DataRecord, start_run
from moco.run.encoder_file import save_encoder

EVIL = "<script>document.title='gone'<"
NAMES = ('it\'s "quoted"', "two\nlines", "a & b", "<img src=x onerror=alert(1)>")
SMALL = {
    "encoder.backbone": "resnet10w8",
    "encoder.norm_group": 8,
    "image_size": 32,
    "batch": 16,
    "dictionary.size": 32,
}
RECIPE = override(cifar(), SMALL | {"epochs": 3})


@pytest.fixture(scope="module")
def page(tmp_path_factory, digits):
    """The report of a run with everything in it, about images with the worst of names."""
    root = tmp_path_factory.mktemp("browser")
    for label in (0, 1):
        folder = root / "images" / (EVIL if label else "plain")
        folder.mkdir(parents=True)
        for i, pixels in enumerate(digits[0][digits[1] == label][:12]):
            name = NAMES[i] if i < len(NAMES) else f"{i:02d}"
            Image.fromarray(pixels).convert("RGB").resize((96, 80)).save(folder / f"{name.replace('/', '')}.png")
    source = open_source(root / "images")
    record = DataRecord(str(root / "images"), len(source), fingerprint(source))
    run = start_run(root / f"run {EVIL}", RECIPE, Machine(), record)
    rows = [{"step": 0, "epoch": 0, "rank": 3.0, "knn": 0.2}]
    rows += [
        {"step": step, "epoch": 1, "loss": 3.0 - step / 200, "chance": 3.5, "accuracy": 0.5, "positive": 0.8}
        | {"negative": 0.1, "filled": min(1, step / 20), "lr": 0.1, "images_per_second": 10.0, "data_wait": 0.0}
        | {"health": f"normal: {EVIL}", "level": "normal"}
        for step in range(1, 200)
    ]
    run.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_encoder(run.encoder, build_encoder(RECIPE.encoder)[0], RECIPE, 6)
    cells = {'this "encoder", the': [Cell(0.5)], "pixels": [Cell(0.4, 0.02, (0.35, 0.45))]}
    Result(protocol="knn", data=EVIL, title=EVIL, columns=["a, b"], rows=cells, settings={}).save(run.evaluations, "x")
    run.skipped.write_text(f"{EVIL}.png\tthe file is empty\n")
    run.unlock()
    return report(run.path)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_nothing_is_asked_for_nothing_fails_and_axe_finds_nothing_serious(page, tab, width, dark):
    seen = tab(page, width=width, dark=dark)
    for closed in seen.page.query_selector_all("details:not([open]) summary"):
        closed.click()
    assert seen.outside == []
    assert len(seen.asked) == 1, "the page alone"
    assert serious(seen) == []
    assert seen.errors == []
    assert seen.page.title().startswith("run <script>")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width, "no sideways scrolling"


def test_every_picture_and_table_can_be_taken_along(page, tab, tmp_path):
    seen = tab(page)
    for closed in seen.page.query_selector_all("details:not([open]) summary"):
        closed.click()
    pictures = seen.page.query_selector_all("figure, .sheet")
    tables = seen.page.query_selector_all("table")
    buttons = seen.page.query_selector_all(".get")
    figures = seen.page.query_selector_all("figure")
    assert len(buttons) == len(pictures) + len(tables) + len(figures), "a figure has its numbers too"
    kinds = {button.get_attribute("aria-label"): button for button in buttons}
    of_curves = [label for label in kinds if label.endswith((" as a picture", " as numbers"))]
    for label in [*of_curves[6:18], *(k for k in kinds if re.search("alike [234] ", k))]:  # some are enough
        kinds.pop(label)
    for button in kinds.values():
        with seen.page.expect_download() as waiting:
            button.click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        if button.inner_text() == "PNG":
            with Image.open(path) as image:
                colours = image.convert("RGB").getcolors(1 << 24)
                assert min(image.size) > 150
                assert len(colours) > 20, "something is drawn"
        else:
            rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
            assert len(rows) > 1
            assert len({len(row) for row in rows}) == 1, "every row has every column"
    loss = (tmp_path / "loss.csv").read_text(encoding="utf-8-sig").splitlines()
    assert loss[:2] == ["step,loss", "1,2.995"]
    names = (tmp_path / "evaluations.csv").read_text(encoding="utf-8-sig")
    assert '"this ""encoder"", the"' in names
    assert seen.errors == []


def test_day_and_night_can_be_chosen_and_the_keyboard_reaches_everything(page, tab):
    seen = tab(page)
    ground = "getComputedStyle(document.body).backgroundColor"
    day = seen.page.evaluate(ground)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.className") == "skip"
    seen.page.focus(".theme")
    seen.page.keyboard.press("Enter")
    night = seen.page.evaluate(ground)
    assert day != night
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate(ground) == day
    assert tab(page, dark=True).page.evaluate(ground) == night
    line = "getComputedStyle(document.querySelector('.plot .first')).stroke"
    assert seen.page.evaluate(line) != tab(page, dark=True).page.evaluate(line)


def test_the_page_is_drawn_within_a_second_and_small_without_pictures(page, tab):
    html = page.read_text()
    assert len(re.sub(r'"data:image/[^"]*"', '""', html)) < 2_000_000
    took = "performance.timing.loadEventEnd - performance.timing.navigationStart"
    times = []
    for _ in range(3):  # other work on the same machine
        seen = tab(page)
        seen.page.wait_for_function("performance.timing.loadEventEnd > 0")
        times.append(seen.page.evaluate(took))
    assert min(times) < 1000


def test_without_scripts_the_page_is_whole_but_for_its_buttons(page, tab):
    seen = tab(page, java_script_enabled=False)
    assert seen.page.locator(".get").count() == 0
    assert seen.page.locator("svg.plot").count() >= 5
    assert seen.page.locator(".sheet img").count() > 50


def test_images_that_were_deleted_are_grey_tiles_that_say_so(page, tab, tmp_path):
    listed = tmp_path / "list.txt"
    images = sorted(p for p in (page.parent.parent / "images" / "plain").iterdir() if "\n" not in p.name)
    listed.write_text("\n".join(str(p) for p in images) + "\n")
    run = tmp_path / "run"
    shutil.copytree(page.parent, run)
    source = open_source(listed)
    (run / "encoder.pt").unlink()
    record = {"data": str(listed), "images": len(source), "fingerprint": fingerprint(source)}
    (run / "data.json").write_text(json.dumps(record))
    kept = [p.rename(tmp_path / p.name) for p in images[1:]]
    try:
        seen = tab(report(run))
    finally:
        for p in kept:
            p.rename(images[0].parent / p.name)
    gone = seen.page.locator(".gone")
    assert gone.count() > 0
    assert gone.first.inner_text() == "no such file"
    assert serious(seen) == []
