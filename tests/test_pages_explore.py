"""The page of a map in a real browser: click, lasso, searches, the table below, a phone, and the exported folder."""

import csv
import functools
import http.server
import io
import json
import threading

import pytest
from explored import NASTY, make_run
from serious import serious

from moco.commands.explore import explore, routes, write_export
from moco.explore.page import Can, page_parts
from moco.loopback import Loopback


@pytest.fixture(scope="module")
def explored(made_once, digits):
    folder = made_once("explored", functools.partial(make_run, digits=digits))
    return explore(folder / "run", folder / "photos")


@pytest.fixture(scope="module")
def address(explored):
    with Loopback(routes(explored), 5500).serving() as where:
        yield where


@pytest.fixture(scope="module")
def exported(explored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "site"
    write_export(explored, folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def points(explored):
    """Where each image lies, and the box of all."""
    rows = explored.database.rows("SELECT file, __x, __y FROM images ORDER BY __row")
    xs, ys = [x for _, x, _ in rows], [y for _, _, y in rows]
    return {name: (x, y) for name, x, y in rows}, (min(xs), max(xs), min(ys), max(ys))


def on_screen(seen, explored, name):
    """Where the map shows an image, as it fits the whole of it into the canvas below its buttons."""
    where, (left, right, low, high) = points(explored)
    box = seen.page.locator("#map").bounding_box()
    above = min(52, box["height"] / 4)
    scale = 0.92 * min(box["width"] / (right - left), (box["height"] - above) / (high - low))
    x, y = where[name]
    return (
        box["x"] + (x - (left + right) / 2) * scale + box["width"] / 2,
        box["y"] + (box["height"] + above) / 2 - (y - (low + high) / 2) * scale,
    )


def loaded(seen):
    """Once the table below is there, everything is."""
    seen.page.wait_for_selector("#charts table")
    return seen.page


def picked(page):
    page.wait_for_selector("#picked dl")
    return page.locator("#picked h2").first.inner_text()


def lasso_all(page, shift=True):
    box = page.locator("#map").bounding_box()
    left, top, right, low = box["x"] + 2, box["y"] + 2, box["x"] + box["width"] - 2, box["y"] + box["height"] - 2
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(left + 330, top)
    page.mouse.down()
    for x, y in ((right, top), (right, low), (left, low), (left, top + 90), (left + 330, top + 90)):
        page.mouse.move(x, y)
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")


def until(page, condition):
    for _ in range(400):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came")


def judged(seen):
    assert seen.outside == []
    assert [error for error in seen.errors if "WebGPU" not in error] == []


def test_a_click_shows_the_image_and_its_neighbours_by_the_encoder(tab, address, explored):
    seen = tab(address)
    page = loaded(seen)
    x, y = on_screen(seen, explored, "again.png")
    page.mouse.click(x, y)
    assert picked(page) in ("again.png", "digit 7/07.png")  # one lies on the other
    nearest = page.locator("#picked .tiles button").first
    assert nearest.get_attribute("title") in ("again.png", "digit 7/07.png")
    assert "1.000" in nearest.inner_text()
    assert page.locator("#picked .tiles button").count() == 24
    assert page.evaluate("document.querySelector('#picked img').naturalWidth") > 0
    judged(seen)


def test_a_lasso_gives_a_list_of_files(tab, address, explored):
    seen = tab(address)
    page = loaded(seen)
    lasso_all(page)
    page.wait_for_selector("#chosen h2")
    with page.expect_download() as download:
        page.click("#save")
    assert download.value.suggested_filename == "chosen.csv", "a name has a line break, which a plain list cannot hold"
    names = [row["path"] for row in csv.DictReader(io.StringIO(download.value.path().read_text()))]
    everything = {name for (name,) in explored.database.rows("SELECT file FROM images")}
    assert set(names) <= everything
    assert "digit 3/two\nlines.png" in names
    n = len(names)
    assert n > 30
    assert page.locator("#chosen h2").inner_text() == f"{n} images chosen"
    shadow = "document.querySelector('#charts > div > div').shadowRoot.textContent"
    until(page, lambda: f"{n} /" in page.evaluate(shadow))
    page.click("#chosen button:has-text('Let go')")
    page.wait_for_selector("#chosen", state="hidden")
    judged(seen)


def test_search_by_an_image_and_by_a_name(tab, address, explored, made_once):
    seen = tab(address)
    page = loaded(seen)
    page.set_input_files("label.file input", explored.kept.folder.parents[1] / "photos" / "again.png")
    page.wait_for_selector("#found .tiles button")
    assert page.locator("#found .tiles button").first.get_attribute("title") in ("again.png", "digit 7/07.png")
    page.set_input_files("label.file input", {"name": "x.png", "mimeType": "image/png", "buffer": b"none"})
    page.wait_for_selector("#said.bad")
    assert "this image cannot be read" in page.locator("#said").inner_text()
    page.fill("#by-name input", "it's a \"3")
    page.press("#by-name input", "Enter")
    until(page, lambda: page.locator("#found .tiles button").count() == 1)
    assert page.locator("#found .tiles button").get_attribute("title") == f"digit 3/{NASTY[0]}"
    page.click("#found button:has-text('Only these')")
    page.wait_for_selector("#chosen h2:has-text('1 image chosen')")
    assert seen.outside == []


def test_names_that_look_like_html_stay_text(tab, address):
    seen = tab(address)
    page = loaded(seen)
    page.fill("#by-name input", "alert(1)")
    page.press("#by-name input", "Enter")
    until(page, lambda: page.locator("#found .tiles button").count() == 2)
    page.click("#found .tiles button >> nth=0")
    assert "alert(1)" in picked(page)
    assert page.evaluate("document.querySelectorAll('script').length") == 2
    judged(seen)


def test_a_click_in_the_table_shows_the_image(tab, address):
    seen = tab(address)
    page = loaded(seen)
    page.click("#charts table tbody tr >> nth=1")
    assert picked(page) == "digit 0/00.png"  # the second by name
    judged(seen)


def test_colours_follow_the_column_and_the_table_shows_every_column(tab, address):
    seen = tab(address)
    page = loaded(seen)
    assert page.locator("#legend li").count() > 5, "by label at first"
    assert page.locator("#colour option").all_inner_texts() == [
        "distance",
        "outlier",
        "label",
        "folder",
        "cluster",
        "copies",
    ]
    page.select_option("#colour", "outlier")
    assert page.locator("#legend li").count() == 4
    assert page.locator("#legend li").first.inner_text() == "mean distance to the ten most similar; high: unlike all"
    below = page.evaluate("document.querySelector('#charts > div > div').shadowRoot.textContent")
    for column in ("file", "label", "cluster", "copies", "distance", "outlier"):
        assert column in below
    judged(seen)


def test_without_a_mouse_the_map_is_moved_by_keys_and_on_a_phone_all_is_below_each_other(tab, address):
    seen = tab(address, width=390, height=800, has_touch=True)
    page = seen.page
    page.wait_for_selector("#legend li")
    page.focus("#map")
    before = page.locator("#map").screenshot()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(200)
    assert page.locator("#map").screenshot() != before
    page.keyboard.press("Enter")
    assert picked(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    legend, canvas = page.locator("#legend").bounding_box(), page.locator("#map").bounding_box()
    assert legend["y"] >= canvas["y"] + canvas["height"] - 1, "the legend covers no point"
    judged(seen)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_axe_finds_nothing_serious_with_an_image_picked_and_others_chosen(tab, address, width, dark):
    seen = tab(address, width=width, dark=dark)
    page = loaded(seen)
    page.set_input_files("label.file input", {"name": "x.png", "mimeType": "image/png", "buffer": b"none"})
    page.wait_for_selector("#said.bad")
    page.fill("#by-name input", "digit 3")
    page.press("#by-name input", "Enter")
    page.click("#found .tiles button >> nth=0")
    assert picked(page)
    page.click("#found button:has-text('Only these')")
    page.wait_for_selector("#chosen h2")
    assert serious(seen, besides=["#charts"]) == []


def test_the_exported_folder_works_from_any_static_server(tab, exported, explored):
    seen = tab(exported)
    page = loaded(seen)
    x, y = on_screen(seen, explored, "again.png")
    page.mouse.click(x, y)
    assert picked(page) in ("again.png", "digit 7/07.png")
    assert page.evaluate("document.querySelector('#picked img').naturalWidth") > 0
    lasso_all(page)
    page.wait_for_selector("#chosen h2")
    with page.expect_download() as download:
        page.click("#save")
    assert len(download.value.path().read_text().splitlines()) > 30
    assert page.locator("label.file").count() == 0, "no encoder, no search by an image"
    judged(seen)


def test_the_facts_of_the_page_cannot_end_its_script(explored):
    html, _ = page_parts(explored.about, explored.database, Can(False, False, False))
    facts = html.partition('id="facts">')[2].partition("</script>")[0]
    assert json.loads(facts)["images"] == 65
    assert "<" not in facts
