"""The choice of views: who is tried, who goes on, and that it is a function of the images and the time."""

import pytest

from moco.auto.views import FEW, FEWEST_OF_FEW, FEWEST_STEPS, MOST_STEPS, Course, longest, search


class Run:
    """A trial whose encoder is its name and how far it came."""

    def __init__(self, name, trained, finite=True):
        self.name, self._trained, self._finite = name, trained, finite
        self.encoder = name

    def go(self, step):
        self._trained.append((self.name, step))

    def finite(self):
        return self._finite


MERIT = {"a": 0.4, "b": 0.6, "c": 0.5, "d": 0.45, "e": 0.55, "f": 0.3}


def searched(names, bad=(), deadline=float("inf")):
    trained = []

    def probe(encoder):
        return {"rotation": MERIT[encoder], "retrieval, photos": 0.1}

    return search(Course(names, (30, 90)), lambda n: Run(n, trained, n not in bad), probe, deadline), trained


def test_the_better_third_goes_on_and_the_best_of_them_is_taken():
    found, trained = searched(list("abcdef"))
    assert found.views == "b"
    assert [n for n, step in trained if step == 30] == list("abcdef")
    assert sorted(n for n, step in trained if step == 90) == ["b", "e"]
    assert [(t.views, t.steps) for t in found.tried[:2]] == [("b", 90), ("e", 90)]
    assert {t.views for t in found.tried} == set("abcdef"), "nobody is lost from the record"


def test_a_set_whose_loss_leaves_the_numbers_is_out():
    found, _ = searched(list("abc"), bad=("b",))
    assert found.views == "c"


def test_where_all_fail_the_first_is_taken():
    found, _ = searched(list("ab"), bad=("a", "b"))
    assert (found.views, found.tried) == ("a", [])


def test_past_the_deadline_no_further_rung_is_begun():
    found, trained = searched(list("abcdef"), deadline=0.0)
    assert max(step for _, step in trained) == 30
    assert found.views == "b"


@pytest.mark.parametrize("seconds", [1, 10, 50, 200, 1000])
def test_trials_are_as_long_as_the_time_allows(seconds):
    course = longest("abcdef", seconds, 0.05, 1.0)
    if len(course.candidates) == 6:
        first, steps = course.rungs
        assert FEWEST_STEPS <= steps <= MOST_STEPS
        assert 6 * first * 0.05 + 2 * (steps - first) * 0.05 + 8 <= seconds
        assert steps == MOST_STEPS or course.seconds(0.05, 1.0) > 0.85 * seconds, "as long as it can be"


def test_in_little_time_the_first_few_are_compared_once():
    course = longest("abcdef", 9.0, 0.05, 0.5)
    assert (course.candidates, len(course.rungs)) == ("abc", 1)
    assert FEW * course.rungs[0] * 0.05 + FEW * 0.5 <= 9.0
    assert course.rungs[0] >= FEWEST_OF_FEW
    trained: list[tuple[str, int]] = []
    found = search(course, lambda n: Run(n, trained), lambda e: {"rotation": MERIT[e], "retrieval, photos": 0.1})
    assert found.views == "b"
    assert trained == [(name, course.rungs[0]) for name in "abc"]


def test_too_little_time_gives_no_trial():
    assert longest("abcdef", 5.0, 0.2, 0.5) == Course((), ())
