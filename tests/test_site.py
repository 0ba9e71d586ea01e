"""The site is built from docs/ without a warning, holds every page, and asks nobody for anything."""

import io
import json
import re
from html.parser import HTMLParser

import pytest
from blocks import ROOT

mkdocs_config = pytest.importorskip("mkdocs.config")
build = pytest.importorskip("mkdocs.commands.build")
exceptions = pytest.importorskip("mkdocs.exceptions")

LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""What a browser fetches when it opens a page; a link of <a> is fetched when it is clicked on."""
ONLY_A_NAME = {"canonical", "prev", "next", "alternate"}


class Fetched(HTMLParser):
    """Addresses that a browser would fetch by itself."""

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in LOADS and given.get("rel") not in ONLY_A_NAME:
            self.addresses.append(given.get(LOADS[tag]) or "")
            self.addresses += [part.split()[0] for part in (given.get("srcset") or "").split(",") if part.strip()]


@pytest.fixture(scope="module")
def site(made_once):
    def make(folder):
        config = mkdocs_config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder / "site"), strict=True)
        build.build(config)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NO_MKDOCS_2_WARNING", "1")
        return made_once("site", make) / "site"


@pytest.mark.filterwarnings("default")
def test_it_is_built_without_a_warning_and_every_page_is_in_it(site):
    pages = sorted((ROOT / "docs").rglob("*.md"))
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = {entry["location"].split("#")[0] for entry in index["docs"]}
    first = (site / "index.html").read_text()
    for page in pages:
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name).exists()
        assert name in found, f"{name} cannot be found"
        assert f'href="{name}"' in first, f"{name} is not in the navigation"


@pytest.mark.filterwarnings("default")
def test_a_link_to_a_heading_that_is_not_there_fails_the_build(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# There\n\n## Heading\n")

    def built(heading):
        (tmp_path / "docs" / "index.md").write_text(f"# Here\n\n[there](other.md#{heading})\n")
        ours = mkdocs_config.load_config(str(ROOT / "mkdocs.yml"))
        config = mkdocs_config.load_config(
            config_file=io.StringIO("site_name: two pages\n"),
            docs_dir=str(tmp_path / "docs"),
            site_dir=str(tmp_path / "site"),
            strict=ours.strict,
        )
        config.validation.links.anchors = ours.validation.links.anchors
        build.build(config)

    built("heading")
    with pytest.raises(exceptions.Abort, match="1 warning"):
        built("no-such-heading")


@pytest.mark.filterwarnings("default")
def test_a_browser_fetches_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        for address in Fetched(page.read_text()).addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet.name
    told = (site / "index.html").read_text()
    assert "mermaid" not in told, "the theme fetches what draws such diagrams"
    assert "iframe-worker.js" in told


@pytest.mark.filterwarnings("default")
def test_the_reference_has_every_public_name_and_every_command(site):
    import moco
    from moco.cli import COMMANDS

    names = (site / "reference" / "python.html").read_text()
    assert [name for name in moco.__all__ if f'id="moco.{name}"' not in names] == []
    commands = (site / "reference" / "commands.html").read_text()
    assert [name for name in COMMANDS if f'<h2 id="moco-{name}"' not in commands] == []
    assert "--dictionary.size" in commands


def test_the_scan_finds_what_it_looks_for():
    page = '<a href="https://a.b"></a><img src="//c.d/x.png"><link rel="canonical" href="https://e.f"><script src="https://g.h/s.js">'
    assert Fetched(page).addresses == ["//c.d/x.png", "https://g.h/s.js"]


@pytest.mark.filterwarnings("default")
def test_it_can_be_read_and_searched_from_a_disk(site, tab):
    seen = tab(site / "index.html")
    seen.page.get_by_role("textbox", name="Search").click()
    seen.page.get_by_role("textbox", name="Search").press_sequentially("RankMe")
    first = seen.page.locator(".md-search-result__link").first
    first.wait_for(timeout=30_000)
    assert first.get_attribute("href").startswith("file:")
    assert seen.outside == []
    assert seen.errors == []
