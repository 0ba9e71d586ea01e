"""The time a person has: read from words, kept within sense, and shared out."""

import datetime

import pytest

from moco.auto.budget import CLOSING, DEFAULT, LEAST, SEARCH, budget, seconds_of, until, words
from moco.errors import MocoError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("2h", 7200), ("3d", 259200), ("1h30m", 5400), ("1.5h", 5400), (" 20M ", 1200)],
)
def test_times_are_read_with_their_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "soon", "m20", "20 m", "-5m", "nan"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(MocoError, match="20m"):
        seconds_of(text)


def test_ten_seconds_are_refused_with_the_least_that_makes_sense():
    with pytest.raises(MocoError, match="60 s or more"):
        seconds_of("10s")
    assert seconds_of("60s") == LEAST


def test_more_than_a_year_is_taken_for_a_mistake():
    assert seconds_of("365d")
    with pytest.raises(MocoError, match="--epochs or --steps"):
        seconds_of("366d")


def test_without_a_time_the_default_is_that_of_the_device():
    assert (budget(None, "cpu").seconds, budget(None, "cpu").given) == (DEFAULT["cpu"], False)
    assert budget(None, "cuda").seconds == 7200
    assert budget("5m", "cpu").given


def test_the_search_takes_less_than_15_percent_and_what_is_spent_is_not_trained():
    b = budget("20m", "cpu")
    assert b.search == SEARCH * 1200 <= 0.15 * 1200
    assert b.left(100) == 1200 - CLOSING - 100
    assert b.left(5000) > 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(90, "90 s"), (100, "100 s"), (300, "5 min"), (5400, "1.5 h"), (7200, "2 h"), (86400, "24 h"), (259200, "3 days")],
)
def test_times_are_told_as_people_say_them(seconds, said):
    assert words(seconds) == said


def test_an_end_is_told_by_the_clock_with_its_day():
    told = datetime.datetime.strptime(f"{until(3 * 86400)} {datetime.datetime.now().year}", "%d %B, %H:%M %Y")
    after = datetime.datetime.now() + datetime.timedelta(days=3)
    assert (told.day, told.month) == (after.day, after.month)
