"""Curves: over steps for each share of the labels, and over the shares."""

import numpy as np
from PIL import Image

from moco.transfer.curves import _over_shares, draw_curves
from moco.transfer.recipe import Trial, segment
from moco.transfer.results import Outcome


def outcomes(shares):
    recipe = segment()
    for start, gain in (("random", 0.0), ("moco", 0.1)):
        for share in shares:
            for seed in (0, 1):
                rows = [{"step": s, "mIoU": 0.1 + gain + share * s / 10 + seed / 100} for s in (0, 5)]
                yield Outcome(start, Trial(recipe=recipe, start=start, labels=share, seed=seed), rows)


def test_the_end_over_the_labels_is_that_of_each_seed_in_rising_order():
    here = [one for one in outcomes((1.0, 0.1, 0.5)) if one.start == "random"]
    shares, values = _over_shares(here[:-1], "mIoU")
    assert shares.tolist() == [10, 50, 100]
    assert np.allclose(values, [[15, 35, 60]]), "the other seed has not all shares"
    assert len(_over_shares(here, "AP")[0]) == 0


def test_two_shares_have_a_panel_more(tmp_path):
    sizes = {}
    for shares in ((1.0,), (0.1, 1.0), (0.1, 0.5, 1.0)):
        path = tmp_path / f"{len(shares)}.png"
        draw_curves(path, "mIoU", list(outcomes(shares)))
        with Image.open(path) as picture:
            sizes[len(shares)] = picture.width
    assert sizes[2] - sizes[1] == 2 * 4 * 150
    assert sizes[3] - sizes[2] == 4 * 150
