"""The studies are data: every cell is a recipe that can be trained, and the papers' values stand where they belong."""

import pytest

from moco.errors import MocoError
from moco.recipe import EndToEnd, Queue, check, override, v2
from moco.recipe.auto import DataFacts, auto
from moco.study.papers import MOCO, PAPER_K, STUDIES
from moco.study.parts import FAILS


def fit_to(images, **set_by_the_user):
    return lambda changes: auto(DataFacts(images, 32), fixed={"epochs": 10, **changes, **set_by_the_user})[0]


@pytest.mark.parametrize("images", [300, 5_000, 50_000, 1_281_167])
@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_can_be_trained_at_any_scale(name, images):
    fit = fit_to(images)
    made = STUDIES[name](fit, images)
    assert made.name == name
    assert len({cell.label for cell in made.cells}) == len(made.cells)
    for cell in made.cells:
        recipe = override(fit({}), cell.changes)
        check(recipe)
        assert recipe.batch <= images
        if isinstance(recipe.dictionary, Queue):
            assert recipe.dictionary.size < images


def test_on_imagenet_the_mechanisms_have_the_papers_sizes():
    made = STUDIES["mechanisms"](fit_to(1_281_167), 1_281_167)
    of_moco = {int(c.x): c.paper["knn"] for c in made.cells if c.group == "MoCo"}
    assert of_moco == dict(zip(PAPER_K, MOCO, strict=True))
    batches = [override(v2(), c.changes) for c in made.cells if c.group == "end-to-end"]
    assert [r.batch for r in batches] == [256, 512, 1024]
    assert all(isinstance(r.keys, EndToEnd) for r in batches)
    assert batches[2].optim.lr == pytest.approx(4 * batches[0].optim.lr)


@pytest.mark.parametrize("name", ["mechanisms", "dictionary"])
def test_on_fewer_images_the_papers_sizes_stand_on_the_papers_axis(name):
    made = STUDIES[name](fit_to(5_000), 5_000)
    ours = {int(c.x.split()[0]): int(c.paper_x.split()[0]) for c in made.cells}
    assert ours == dict(zip((8, 16, 32, 64, 128, 256), PAPER_K, strict=True))


def test_the_users_batch_is_the_smallest_k():
    made = STUDIES["mechanisms"](fit_to(10_000, batch=64), 10_000)
    assert not made.varies("batch")
    assert [c.x for c in made.cells if c.group == "MoCo"] == ["64", "128", "256", "512"]
    with pytest.raises(MocoError, match="lower --batch"):
        STUDIES["mechanisms"](fit_to(5_000, batch=1024), 5_000)


def test_the_momentum_study_knows_what_failed_and_what_a_user_cannot_set():
    made = STUDIES["momentum"](fit_to(5_000), 5_000)
    assert [c.paper["knn"] for c in made.cells] == [FAILS, 55.2, 57.8, 59.0, 58.9]
    assert made.varies("keys.m")
    assert not made.varies("optim.lr")
    assert "m of 0.999 and 0.9999" in made.scaled


def test_the_ladder_replaces_whole_parts_and_so_owns_their_fields():
    made = STUDIES["v2-ladder"](fit_to(5_000), 5_000)
    assert made.varies("loss.temperature")
    assert not made.varies("epochs")
    assert made.cells[-1].changes["epochs"] == 40
