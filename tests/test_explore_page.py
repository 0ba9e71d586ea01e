"""The words of the page of a map."""

import pytest

from moco.explore.page import short


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("{here}/photos", "photos"),
        ("{here}/a/b/photos", "a/b/photos"),
        ("/somewhere/else/holiday/photos", "holiday/photos"),
        ("{here}", "{last two}"),
        ("/", "/"),
        ("torchvision:CIFAR10", "torchvision:CIFAR10"),
        ("photos", "photos"),
    ],
)
def test_a_path_is_shown_from_the_working_directory_on_or_by_its_end(data, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = {"{here}": str(tmp_path), "{last two}": "/".join(tmp_path.parts[-2:])}
    for name, word in words.items():
        data, shown = data.replace(name, word), shown.replace(name, word)
    assert short(data) == shown
