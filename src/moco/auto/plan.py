"""Which network a time allows: the largest that sees enough images in it to be worth its cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from moco.auto.budget import words
from moco.backbones import build_backbone
from moco.recipe import Recipe
from moco.recipe.auto import Length, Network

MOST_PASSES = 800
"""How often each image is seen at most: the longest run of the papers. A time that allows more is not used up."""

CAPPED = 0.5
"""A network that sees this share of all that can be seen of few images is worth its cost: a smaller one leaves time."""

LEAST = 0.25
"""Share of the images that a network is worth which it sees at least, however few there are."""

HOPELESS = 0.5
"""A network is not measured where its cost says that it would see less than this share of the images it is worth."""


@dataclass(frozen=True)
class Rate:
    """Seconds that this machine takes to train a network on one image; measured, or told from the cost of another."""

    network: Network
    seconds: float
    measured: bool


def flops(network: Network) -> float:
    """Products of one forward pass of one image; nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        backbone, _ = build_backbone(network.backbone, network.stem)
        counter.flop_counts.clear()
        backbone.eval()(torch.zeros(1, 3, network.size, network.size))
    return float(counter.get_total_flops())


def grown(recipe: Recipe) -> float:
    """What a step costs in the mean beside one with views of the last size, told from the products."""
    sizes = (*recipe.first_sizes, recipe.image_size)
    costs = [flops(Network(recipe.encoder.backbone, recipe.encoder.stem, size, 0)) for size in sizes]
    return sum(costs) / len(costs) / costs[-1]


def wanted(network: Network, images: int) -> float:
    """How many images, repeats counted, a network has to see of a set of so many to be worth its cost."""
    return max(LEAST * network.worth, min(network.worth, CAPPED * MOST_PASSES * images))


def fitting(found: Sequence[Rate], seconds: float, images: int) -> list[Rate]:
    """Those that see what they are worth in so many seconds; the cheapest where none does."""
    kept = [rate for rate in found if seconds / rate.seconds >= wanted(rate.network, images)]
    return kept or list(found[:1])


def rates(networks: Sequence[Network], measure: Callable[[Network], float], seconds: float, images: int) -> list[Rate]:
    """The rate of each network, the cheapest first; those far beyond the time are told, not measured."""
    found: list[Rate] = []
    measured: tuple[float, float] | None = None
    for network in networks:
        cost = flops(network)
        told = measured[0] * cost / measured[1] if measured else 0.0
        if measured and seconds / told < HOPELESS * wanted(network, images):
            found.append(Rate(network, told, measured=False))
            continue
        took = measure(network)
        measured = took, cost
        found.append(Rate(network, took, measured=True))
    return found


def choose(found: Sequence[Rate], seconds: float, images: int, time: str) -> tuple[Length, Rate]:
    """The network for so many seconds and a set of so many images, how many of them it sees, and its rate."""
    enough = fitting(found, seconds, images)
    rate = enough[-1]
    seen = int(min(seconds / rate.seconds, MOST_PASSES * images))
    network = rate.network
    why = f"{1 / rate.seconds:,.0f} images/s here with {network.backbone} at {network.size} px"
    finer = next((r for r in found if r.network.worth > network.worth and r not in enough), None)
    if finer is not None:
        other = finer.network
        why += f"; {other.backbone} at {other.size} px would see {seconds / finer.seconds:,.0f} images, and pays from "
        why += f"about {wanted(other, images):,.0f} on"
    return Length(network, seen, time, why), rate


def outlook(found: Sequence[Rate], seconds: float, images: int, chosen: Length) -> str:
    """What four times as long would change, in one sentence."""
    more, rate = choose(found, 4 * seconds, images, words(4 * seconds))
    if more.images == chosen.images and more.network == chosen.network:
        return "more time would change nothing: each image is seen as often as in the longest runs of the papers"
    passes = f"each image {more.images / images:,.0f} times instead of {chosen.images / images:,.0f}"
    if more.network == chosen.network:
        return f"four times the time would show {passes}"
    told = "" if rate.measured else " (told from its cost)"
    return f"four times the time would train {more.network.backbone} at {more.network.size} px{told}, {passes}"
