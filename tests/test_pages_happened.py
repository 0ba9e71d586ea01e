"""What a page says was done to an image is what was done to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from moco.pages.happened import happened, in_short, in_words
from moco.recipe import View, override, v2
from moco.views import Views

SIDE = 32
IMAGE = np.ascontiguousarray(load_sample_image("china.jpg")[100 : 100 + SIDE, 200 : 200 + SIDE])
PLAIN = {
    "query_view.scale": (1.0, 1.0),
    "query_view.ratio": (1.0, 1.0),
    "query_view.flip": 0.0,
    "query_view.gray": 0.0,
    "query_view.jitter.p": 0.0,
    "query_view.blur.p": 0.0,
}
FLAGS = {"query_view.flip": "flip", "query_view.flip_vertical": "flip-vertical", "query_view.turn": "turn",
         "query_view.gray": "gray", "query_view.blur.p": "blur.p", "query_view.solarize": "solarize",
         "query_view.jitter.p": "jitter.p"}  # fmt: skip


def views_of(**changes):
    return Views(override(v2(), PLAIN | {"image_size": SIDE} | changes))


def view(views, epoch, number=0):
    crops = views.cut(IMAGE, epoch, 3)[None]
    return views.finish(crops, np.array([3]), np.array([epoch]))[number][0]


@pytest.mark.parametrize("field", FLAGS)
def test_a_view_differs_from_the_plain_one_exactly_where_something_is_said_to_have_happened(field):
    plain, changed = views_of(), views_of(**{field: 0.5})
    said = []
    for epoch in range(12):
        deeds = happened(changed, IMAGE.shape, 3, epoch, 0)
        assert deeds[0].flag == "query-view.scale"
        named = {deed.flag for deed in deeds[1:]}
        assert named <= {f"query-view.{FLAGS[field]}"}
        assert bool(named) == (not torch.allclose(view(plain, epoch), view(changed, epoch), atol=1e-3))
        said.append(bool(named))
    assert len({*said}) == 2, "both happen in twelve epochs"


def test_mirrored_is_mirrored_and_gray_is_gray():
    plain = view(views_of(), 0)
    assert torch.allclose(view(views_of(**{"query_view.flip": 1.0}), 0), plain.flip(2), atol=1e-5)
    views = views_of(**{"query_view.gray": 1.0})
    assert in_short(happened(views, IMAGE.shape, 3, 0, 0)) == "100%, gray"


def test_the_share_that_was_cut_out_is_told():
    views = views_of(**{"query_view.scale": (0.2, 0.3)})
    shares = [int(happened(views, IMAGE.shape, 3, epoch, 0)[0].short[:-1]) for epoch in range(8)]
    assert all(18 <= share <= 32 for share in shares)


def test_key_views_of_their_own_are_named_so():
    recipe = replace(override(v2(), {"image_size": SIDE}), key_view=View(gray=1.0))
    deeds = happened(Views(recipe), IMAGE.shape, 3, 0, 1)
    assert "key-view.gray" in {deed.flag for deed in deeds}
    shared = happened(Views(override(v2(), {"image_size": SIDE})), IMAGE.shape, 3, 0, 1)
    assert all(deed.flag.startswith("query-view.") for deed in shared)


def test_colours_are_told_in_the_order_in_which_they_are_changed():
    views = views_of(**{"query_view.jitter.p": 1.0})
    words = [in_words(happened(views, IMAGE.shape, 3, epoch, 0)).partition("; ")[2] for epoch in range(6)]
    orders = {tuple(part.split()[0] for part in one.split(", ")) for one in words}
    assert all(sorted(order) == ["brightness", "contrast", "hue", "saturation"] for order in orders)
    assert len(orders) > 1
