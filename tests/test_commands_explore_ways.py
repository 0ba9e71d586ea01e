"""A map of a run that reads: images are found by words, in the space that images and captions share."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from contracts.test_resume import small
from explored import make_run
from PIL import Image
from tiny import CPU

from moco.commands.embed import embed_images
from moco.commands.embed_text import embed_texts
from moco.commands.explore import Wanted, explore, routes, write_export
from moco.commands.pretrain import pretrain
from moco.loopback import Asked, Loopback

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEXT = {"text.width": 16, "text.layers": 1, "text.heads": 2, "text.length": 8, "text.vocabulary": 300}
WORDS = "the digit seven"

pytest.importorskip("tokenizers", reason="needs the extra 'text'")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """On 64 digits whose captions name them."""
    folder = tmp_path_factory.mktemp("captions")
    lines = ["path,caption"]
    for i, (image, label) in enumerate(zip(digits[0][:64], digits[1][:64], strict=True)):
        Image.fromarray(image).convert("RGB").save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,the digit {NAMES[label]}")
    (folder / "t.csv").write_text("\n".join(lines))
    return pretrain(folder / "t.csv", folder / "run", small("image-text", epochs=1, **TEXT), machine=CPU)


@pytest.fixture(scope="module")
def explored(run):
    return explore(run, machine=CPU)


def ask(answers, words):
    return answers(Asked("/search/text", {}, words.encode()))


def expected(run, explored, words):
    """Rows from the nearest to the farthest, as embed and embed --text give them."""
    images = embed_images(run, explored.about.data, features="head", machine=CPU)
    return np.sort(images.features @ embed_texts(run, [words]).features[0])[::-1]


def test_words_find_the_images_that_embed_and_embed_text_find(run, explored):
    found = json.loads(ask(routes(explored), WORDS).body)
    assert len(found) == 60
    cosines = [one["cosine"] for one in found]
    np.testing.assert_allclose(cosines, expected(run, explored, WORDS)[:60], atol=2e-3)
    others = json.loads(ask(routes(explored), "nothing of the kind").body)
    assert cosines != [one["cosine"] for one in others], "other words, other cosines"


def test_no_words_are_refused_in_a_sentence(explored):
    given = ask(routes(explored), "  ")
    assert (given.status, given.body) == (400, b"there are no words; write what the images should show")


def test_another_seed_keeps_the_words(run, explored):
    again = explore(run, wanted=replace(Wanted(), seed=1, clusters=3), machine=CPU)
    assert (
        json.loads(ask(routes(again), WORDS).body)[0]["row"] == json.loads(ask(routes(explored), WORDS).body)[0]["row"]
    )


def test_a_run_that_reads_nothing_has_no_box_for_words(made_once, digits):
    folder = made_once("explored", partial(make_run, digits=digits))
    answers = routes(explore(folder / "run", folder / "photos", machine=CPU))
    assert ask(answers, WORDS).status == 404
    assert "by-text" not in answers(Asked("/", {})).body.decode()


def test_words_are_written_into_the_page(explored, tab, tmp_path):
    with Loopback(routes(explored), 5520).serving() as address:
        seen = tab(address)
        page = seen.page
        page.wait_for_selector("#charts table")
        page.fill("#by-text input", WORDS)
        page.press("#by-text input", "Enter")
        page.wait_for_selector("#found h2")
        assert page.locator("#found h2").inner_text() == f"Images of {WORDS}"
        assert page.locator("#found .tiles button").count() == 60
        assert page.locator("#said").inner_text() == "The 60 that fit best of 64, with their cosines."
        page.fill("#by-text input", "")
        page.press("#by-text input", "Enter")
        page.wait_for_selector("#said.bad")
        assert "there are no words" in page.locator("#said").inner_text()
        assert seen.outside == []


def test_an_exported_page_has_no_box_for_words(explored, tmp_path):
    write_export(explored, tmp_path / "site")
    assert "by-text" not in (tmp_path / "site" / "index.html").read_text()
