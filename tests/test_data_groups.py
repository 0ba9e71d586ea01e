"""Groups of images, and the partners that are drawn from them."""

from __future__ import annotations

import numpy as np

from moco.data.groups import Groups
from moco.data.partners import Partners

NAMES = ["a", "b", "a", None, "a", "b", None, "a"]


def test_images_of_one_name_are_a_group_and_those_without_are_alone() -> None:
    groups = Groups.named(NAMES)
    assert len(groups) == 4
    assert sorted(groups.sizes) == [1, 1, 2, 4]
    assert groups.alone == 2
    assert groups.of[0] == groups.of[2] == groups.of[4] == groups.of[7] != groups.of[1]
    assert groups.of[3] != groups.of[6]


def test_a_partner_is_another_image_of_the_group_or_the_image_itself_where_it_is_alone() -> None:
    groups = Groups.named(NAMES)
    images = np.arange(8)
    for epoch in range(20):
        found = groups.partners(images, 1, 0, epoch)[:, 0]
        assert (groups.of[found] == groups.of[images]).all()
        assert (found == images).tolist() == [name is None for name in NAMES]


def test_several_partners_are_all_different_where_the_group_has_as_many() -> None:
    groups = Groups(np.arange(60) % 6)
    for epoch in range(10):
        found = groups.partners(np.arange(60), 4, 3, epoch)
        assert all(len({i, *row}) == 5 for i, row in enumerate(found))


def test_a_group_with_fewer_others_than_positives_gives_each_in_turn() -> None:
    found = Groups.named(["a", "a", "a", None]).partners(np.arange(4), 5, 0, 0)
    assert set(found[0]) == {1, 2}
    assert set(found[1]) == {0, 2}
    assert sorted(np.bincount(found[0], minlength=3)[1:]) == [2, 3]
    assert (found[3] == 3).all()


def test_every_other_image_of_a_group_is_drawn_as_often_as_any_other() -> None:
    groups = Groups(np.zeros(6, dtype=np.int64))
    counts = np.zeros(6)
    for epoch in range(600):
        counts[groups.partners(np.array([2]), 3, 1, epoch)[0]] += 1
    assert counts[2] == 0
    assert np.abs(counts[[0, 1, 3, 4, 5]] - 360).max() < 60


def test_partners_are_a_function_of_seed_epoch_and_image_alone() -> None:
    groups = Groups(np.arange(300) // 10)
    whole = groups.partners(np.arange(300), 2, 5, 7)
    some = np.array([250, 3, 77])
    assert (groups.partners(some, 2, 5, 7) == whole[some]).all()
    assert (groups.partners(np.arange(300), 2, 6, 7) != whole).any()
    assert (groups.partners(np.arange(300), 2, 5, 8) != whole).any()


def test_no_two_key_views_of_an_epoch_share_a_name() -> None:
    partners = Partners(Groups(np.arange(40) // 8), 3, seed=0)
    found, names = partners.of(np.arange(40), 0)
    assert found.shape == names.shape == (120,)
    assert len(set(names.tolist())) == 120
    assert (names[::3] == np.arange(40)).all()


def test_the_identity_of_groups_tells_whether_they_have_changed() -> None:
    assert Groups.named(NAMES).identity() == Groups.named([n and n.upper() for n in NAMES]).identity()
    assert Groups.named(NAMES).identity() != Groups.named(NAMES[::-1]).identity()
