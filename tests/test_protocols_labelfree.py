"""Scores without labels through an encoder that is known: each equals what its formula gives."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from moco.data.array import Array
from moco.device import Placement
from moco.errors import MocoError
from moco.machine import Machine
from moco.ops.scores import alignment, effective_rank, lidar, spread, uniformity
from moco.preprocess import Preprocess
from moco.protocols.contender import Contender
from moco.protocols.contest import Contest
from moco.protocols.labelfree import COLUMNS, LabelFree
from moco.recipe import Normalize, v2

CPU = Placement(torch.device("cpu"), bf16=False, channels_last=False, threads=1, reason="")


class Kept(nn.Module):
    """Coarse pixels as features, and all that it was shown."""

    def __init__(self):
        super().__init__()
        self.made = []

    def forward(self, x):
        self.made.append(F.adaptive_avg_pool2d(x, 4).flatten(1))
        return self.made[-1]


@pytest.fixture
def contest(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:150])
    contender = Contender("this encoder", "", Preprocess(16, Normalize()), Kept())
    return Contest([contender], Array(tmp_path / "x.npy"), "x", None, Machine(), CPU, print)


def test_each_score_is_what_its_formula_gives_of_centres_and_views(contest):
    result = LabelFree(images=100, views=4).judge(contest)
    module = contest.contenders[0].module
    centres, views = torch.cat(module.made[::5]), []
    for pair in (0, 1):  # of each 64 images: the centres, then query and key of each draw
        views += [torch.cat(module.made[1 + 2 * pair :: 5]), torch.cat(module.made[2 + 2 * pair :: 5])]
    assert centres.shape == (100, 48)
    unit, (a, b) = F.normalize(centres, dim=1), (F.normalize(v, dim=1) for v in views[:2])
    expected = [
        48, effective_rank(centres), lidar(torch.stack(views, dim=1)), alignment(a, b), uniformity(unit), spread(unit),
    ]  # fmt: skip
    found = [cell.value for cell in result.rows["this encoder"]]
    assert found == pytest.approx([float(x) for x in expected], rel=1e-5)
    low, high = result.rows["this encoder"][COLUMNS.index("alignment")].interval
    assert low < found[3] < high
    assert not torch.equal(views[0], views[2]), "the draws differ"


def test_views_are_those_of_the_recipe_of_the_encoder_that_is_judged(contest):
    one = contest.contenders[0]
    still = v2().query_view
    still = Contender(one.name, "", one.preprocess, one.module, recipe=_without_change(still))
    contest.contenders = [still]
    cells = LabelFree(images=20, views=2).judge(contest).rows["this encoder"]
    assert cells[COLUMNS.index("alignment")].value == pytest.approx(0, abs=1e-6)


def _without_change(view):
    from dataclasses import replace

    view = replace(
        view, scale=(1.0, 1.0), flip=0.0, gray=0.0, jitter=replace(view.jitter, p=0.0), blur=replace(view.blur, p=0.0)
    )
    return replace(v2(), query_view=view, key_view=None)


def test_a_head_is_a_row_of_its_own_and_a_contender_without_one_stays(contest):
    one = contest.contenders[0]
    contest.contenders = [
        Contender(one.name, "", one.preprocess, one.module, whole=Kept()),
        Contender("p", "", one.preprocess, one.module),
    ]
    both = LabelFree(images=10, views=2, features=("backbone", "head")).judge(contest)
    assert list(both.rows) == ["this encoder", "this encoder, head", "p"]
    alone = LabelFree(images=10, views=2, features=("head",)).judge(contest)
    assert list(alone.rows) == ["this encoder, head", "p"]


@pytest.mark.parametrize("settings", [{"images": 1}, {"views": 3}, {"views": 0}, {"features": ()}])
def test_settings_that_mean_nothing_are_refused(settings):
    with pytest.raises(MocoError, match="--labelfree-"):
        LabelFree(**settings)
