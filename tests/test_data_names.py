"""What names say, and how a number of things is said."""

from moco.data.names import number_of


def test_one_thing_is_said_in_the_singular():
    assert [number_of(n, "image") for n in (0, 1, 2, 12034)] == ["0 images", "1 image", "2 images", "12,034 images"]
