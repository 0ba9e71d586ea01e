"""Labelled images: which word is the class, what is judged and what is known, and clear words where it cannot be."""

import numpy as np
import pytest
from PIL import Image

from moco.commands.watch import open_watched
from moco.data.labelled import alike, hold_back
from moco.data.open import open_labelled
from moco.errors import MocoError


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def test_the_folder_right_above_an_image_is_its_class(tmp_path):
    found = open_labelled(put(tmp_path, "cat/1.png", "animals/dog/2.png", "cat/3.png"))
    assert found.classes == ("cat", "dog")
    assert [found.classes[n] for n in found.labels] == ["dog", "cat", "cat"]
    assert found.bank is None


def test_train_is_known_and_test_is_judged_by_the_same_numbers(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/2.png", "train/dog/3.png", "test/dog/4.png", "val/cat/5.png")
    found = open_labelled(tmp_path)
    assert found.classes == found.bank.classes == ("cat", "dog")
    assert found.labels.tolist() == [1]
    assert found.bank.labels.tolist() == [0, 1, 1]
    assert "val is left out" in found.source.description


def test_numbers_are_sorted_by_size(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), dtype=np.uint8), labels=np.array([10, 9, 2]))
    assert open_labelled(tmp_path / "x.npz").classes == ("2", "9", "10")


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (
            ("train/cat/1.png", "train/cow/2.png", "test/dog/3.png", "test/hen/4.png"),
            r"its classes \(dog, hen\)",
        ),
        (("cat/1.png", "cat/2.png"), "all images are of one class, cat"),
        (("1.png", "cat/2.png"), "lies in no folder of a class"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path, names, why):
    with pytest.raises(MocoError, match=why):
        open_labelled(put(tmp_path, *names))


def test_parts_that_share_one_class_are_taken(tmp_path):
    found = open_labelled(put(tmp_path, "train/cat/1.png", "train/cow/2.png", "test/cat/3.png", "test/hen/4.png"))
    assert found.classes == ("cat", "cow", "hen")


@pytest.mark.parametrize("what", ["nowhere", "folder"])
def test_an_error_about_the_watched_images_names_their_flag(tmp_path, what):
    put(tmp_path, "folder/1.png")
    with pytest.raises(MocoError) as said:
        open_watched(tmp_path / what)
    assert f"--watch {tmp_path / what}" in str(said.value)
    assert "--data" not in str(said.value)


def test_a_share_of_each_class_is_held_back_at_least_one_and_never_all():
    labels = np.array([0] * 50 + [1] * 2 + [2] + [3] * 10)
    rest, held = hold_back(labels, 0.2)
    assert np.bincount(labels[held], minlength=4).tolist() == [10, 1, 0, 2]
    assert sorted([*rest, *held]) == list(range(len(labels)))
    assert (held == hold_back(labels, 0.2)[1]).all()
    assert set(held) != set(hold_back(labels, 0.2, seed=1)[1])
    assert np.bincount(labels[hold_back(labels, 0.99)[0]]).tolist() == [1, 1, 1, 1]
    with pytest.raises(MocoError, match="single labelled image"):
        hold_back(np.arange(3), 0.5)


def labelled(tmp_path, name, words):
    np.savez(tmp_path / name, images=np.zeros((len(words), 4, 4), dtype=np.uint8), labels=np.array(words))
    return open_labelled(tmp_path / name)


def test_two_places_get_one_list_of_classes(tmp_path):
    train = labelled(tmp_path, "a.npz", ["cat", "dog", "emu", "cat"])
    test = labelled(tmp_path, "b.npz", ["dog", "cat", "dog"])
    known, judged = alike(train, test)
    assert known.classes == judged.classes == ("cat", "dog", "emu")
    assert known.labels.tolist() == [0, 1, 2, 0]
    assert judged.labels.tolist() == [1, 0, 1]


def test_a_judged_class_that_is_not_learnt_is_named(tmp_path):
    train, test = labelled(tmp_path, "a.npz", ["cat", "dog"]), labelled(tmp_path, "b.npz", ["Cat", "dog"])
    with pytest.raises(MocoError, match=r"its class Cat is not among those to learn from \(cat, dog"):
        alike(train, test)
