"""Whether a run paid, as far as that can be told without labels."""

from __future__ import annotations

from moco.scores.probe import UPRIGHT, Found, told_by_colour

CLEAR = 0.02
"""Rise of the rotation probe from which on a run has most likely paid: it had in 22 of 24 runs (docs/auto.md)."""

WITHOUT_COLOUR = "rotation without colour"
"""The rotation probe before training where images have no colour, among what was found then."""

MANY = 512
"""Images that the probe was judged on in those runs; of fewer the rise has to be larger, as its standard error is."""


def verdict(before: Found, after: Found, images: int, pairs: int, out: str) -> str:
    """One sentence on an encoder after training and before, with what to do next.

    Turns are of so many images, and views were looked for among so many pairs.
    """
    was, now = before["rotation"], after["rotation"]
    if max(value for name, value in after.items() if name.startswith("retrieval")) <= 1 / pairs:
        return (
            f"verdict: nothing was learnt: no view of an image is found again among those of {pairs:,}; are they "
            "copies of one image, or blank? The views in the report show what the encoder saw"
        )
    measured = (
        f"a linear probe on the features finds {now:.0%} of the quarter turns of images, {was:.0%} before training"
    )
    if max(was, now) < UPRIGHT or told_by_colour(was, before.get(WITHOUT_COLOUR, was), images):
        return (
            "verdict: cannot be told without labels: these images have no up and down to be found; "
            f"moco evaluate {out} --data LABELLED tells (a few labels a class suffice)"
        )
    if now - was >= CLEAR * max(1.0, MANY / images) ** 0.5:
        return f"verdict: most likely it paid: {measured}"
    return (
        f"verdict: cannot be told without labels: {measured}; "
        f"moco evaluate {out} --data LABELLED tells; if it did not pay, try other --views, or a longer run"
    )
