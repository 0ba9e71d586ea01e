"""Which network a time allows, told from measured rates; what a machine could never do in it is not measured."""

import pytest

from moco.auto.plan import MOST_PASSES, Rate, choose, flops, outlook, rates, wanted
from moco.recipe.auto import LADDER, DataFacts, Network, networks

SMALL = Network("resnet10w16", "half", 32, 0)
MIDDLE = Network("resnet10w32", "half", 32, 100_000)
LARGE = Network("resnet18", "half", 64, 1_000_000)


def test_products_are_counted_without_computing_and_grow_with_size_and_width():
    assert flops(SMALL) < flops(MIDDLE) < flops(LARGE)
    assert flops(Network("resnet50", "imagenet", 224, 0)) == pytest.approx(2 * 4.1e9, rel=0.02)


def test_the_ladder_rises_in_cost_and_in_the_images_that_a_network_is_worth():
    costs = [flops(n) for n in LADDER]
    assert costs == sorted(costs)
    assert [n.worth for n in LADDER] == sorted(n.worth for n in LADDER)
    assert LADDER[0].worth == 0


def test_networks_far_beyond_the_time_are_told_from_their_cost_and_not_measured():
    measured = []

    def measure(network):
        measured.append(network)
        return 0.001

    found = rates([SMALL, MIDDLE, LARGE], measure, 200.0, 10_000)
    assert measured == [SMALL, MIDDLE]
    assert [r.measured for r in found] == [True, True, False]
    assert found[2].seconds == pytest.approx(0.001 * flops(LARGE) / flops(MIDDLE))


def test_the_largest_network_that_sees_what_it_is_worth_is_taken():
    found = [Rate(SMALL, 0.001, True), Rate(MIDDLE, 0.004, True), Rate(LARGE, 0.1, False)]
    assert choose(found, 300, 10_000, "5 min")[0].network == SMALL
    length, rate = choose(found, 600, 10_000, "10 min")
    assert (length.network, length.images, rate) == (MIDDLE, 150_000, found[1])
    assert "250 images/s" in length.why


def test_no_image_is_seen_more_often_than_in_the_longest_runs_of_the_papers():
    found = [Rate(SMALL, 0.001, True)]
    length, _ = choose(found, 10_000, 100, "3 h")
    assert length.images == MOST_PASSES * 100
    assert "change nothing" in outlook(found, 10_000, 100, length)


def test_a_larger_network_is_taken_where_a_smaller_one_would_have_seen_few_images_as_often_as_can_be():
    found = [Rate(SMALL, 0.001, True), Rate(MIDDLE, 0.004, True), Rate(LARGE, 0.01, True)]
    assert choose(found, 6000, 10_000, "100 min")[0].network == MIDDLE
    length, _ = choose(found, 6000, 1500, "100 min")
    assert (length.network, length.images) == (LARGE, 600_000)


def test_few_images_do_not_make_every_network_worth_its_cost():
    assert wanted(LARGE, 16) == 250_000
    assert wanted(LARGE, 1_000) == 400_000
    assert wanted(LARGE, 1_000_000) == 1_000_000


def test_four_times_the_time_is_told_with_its_network_and_passes():
    found = [Rate(SMALL, 0.001, True), Rate(MIDDLE, 0.004, True)]
    length, _ = choose(found, 200, 10_000, "200 s")
    assert "resnet10w32 at 32 px" in outlook(found, 200, 10_000, length)


@pytest.mark.parametrize(
    ("fixed", "found"),
    [
        ({}, [(name, "half", 32) for name in ("resnet10w16", "resnet10w32", "resnet10w64", "resnet18")]),
        ({"encoder.backbone": "resnet18w16"}, [("resnet18w16", "half", 32)]),
        ({"encoder.backbone": "convnext_tiny"}, [("convnext_tiny", "imagenet", 32)]),
        (
            {"encoder.backbone": "resnet50", "encoder.stem": "imagenet", "image_size": 64},
            [("resnet50", "imagenet", 64)],
        ),
    ],
)
def test_networks_are_no_finer_than_the_images_and_what_the_user_fixed(fixed, found):
    assert [(n.backbone, n.stem, n.size) for n in networks(DataFacts(5000, 32), fixed)] == found
