"""`auto`: a recipe for the data at hand, that can be trained, and that leaves to the user what the user set."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from moco.backbones import build_backbone
from moco.dictionary import build_dictionary
from moco.errors import MocoError
from moco.recipe import VIEWS, Momentum, Queue, check, flatten, v2
from moco.recipe.auto import BUDGET, FEWEST, LADDER, LONG, DataFacts, Length, auto

DATA = [
    (16, 224),
    (16, 20),
    (17, 32),
    (100, 64),
    (364, 300),
    (2022, 224),
    (9469, 480),
    (11200, 32),
    (50000, 32),
    (1281167, 224),
    (1281167, 375),
    (10_000_000, 64),
]

any_data = pytest.mark.parametrize(("images", "side"), DATA)


def fit(images, side, **keywords):
    return auto(DataFacts(images, side), **keywords)[0]


def steps_of(r, images):
    return images // r.batch * r.epochs


@any_data
def test_every_result_can_be_trained(images, side):
    r = fit(images, side)
    check(r)
    build_dictionary(r, images, torch.Generator())
    assert r.name == "auto"
    assert images // r.batch >= 1, "at least one step an epoch"


@any_data
def test_batches_have_at_least_two_groups_so_that_shuffling_does_something(images, side):
    r = fit(images, side)
    assert r.batch // r.encoder.norm_group >= 2
    assert r.batch % r.encoder.norm_group == 0
    assert 2 <= r.encoder.norm_group <= 32


@any_data
def test_the_queue_is_longer_than_a_batch_and_at_most_half_of_the_data(images, side):
    r = fit(images, side)
    assert isinstance(r.dictionary, Queue)
    assert r.batch < r.dictionary.size <= max(images // 2, 2 * r.batch)
    assert r.dictionary.size < images


@any_data
def test_rate_batch_and_momentum_belong_together(images, side):
    r = fit(images, side)
    assert r.batch <= 256
    assert r.optim.lr == pytest.approx(0.03 * r.batch / 256)
    assert isinstance(r.keys, Momentum)
    assert 0.9 <= r.keys.m <= 0.999
    assert r.keys.shuffle


@any_data
def test_head_and_views_are_those_of_v2_and_the_temperature_fits_the_queue(images, side):
    """Trap 11: temperature 0.2 belongs to the MLP head; 0.1 to the short queue of the official CIFAR-10 demo."""
    r = fit(images, side)
    assert (r.encoder.head_layers, r.query_view) == (2, v2().query_view)
    assert r.loss.temperature == (0.2 if r.dictionary.size >= 16384 else 0.1)


@any_data
def test_a_run_is_about_as_long_as_the_budget(images, side):
    for budget in (BUDGET, 500):
        r = fit(images, side, steps=budget)
        per_epoch = images // r.batch
        assert abs(steps_of(r, images) - budget) <= max(per_epoch, 1)


@pytest.mark.parametrize(
    ("side", "size"), [(8, 32), (28, 32), (32, 32), (63, 32), (64, 64), (100, 96), (223, 192), (224, 224), (480, 224)]
)
def test_views_are_as_large_as_the_images_up_to_the_papers_224(side, size):
    r = fit(5000, side)
    assert r.image_size == size
    assert r.encoder.stem == ("small" if size < 64 else "imagenet")


def test_photographs_of_640_by_480_are_seen_at_224():
    assert fit(9469, 480).image_size == 224


def test_imagenet_gets_the_papers_network_queue_batch_and_momentum():
    r = fit(1281167, 375)
    assert (r.encoder.backbone, r.encoder.stem) == ("resnet50", "imagenet")
    assert (r.batch, r.encoder.norm_group) == (256, 32)
    assert r.dictionary == Queue(size=65536)
    assert r.keys.m == 0.999
    assert r.optim.lr == 0.03


def test_cifar_gets_a_resnet_18_with_a_small_stem_and_a_momentum_near_the_demos():
    r = fit(50000, 32)
    assert (r.encoder.backbone, r.encoder.stem, r.image_size) == ("resnet18", "small", 32)
    assert 0.01 <= r.dictionary.size / 50000 <= 0.1
    assert 0.99 <= r.keys.m < 0.999


def test_few_small_images_get_a_narrow_network_and_few_large_ones_a_resnet_18():
    assert fit(11200, 32).encoder.backbone == "resnet10w16"
    assert fit(9469, 224).encoder.backbone == "resnet18"


@pytest.mark.parametrize("images", [0, 1, 15])
def test_too_few_images_are_refused_with_their_number(images):
    with pytest.raises(MocoError, match=rf"{images} images.*16"):
        fit(images, 224)


def test_unknown_views_are_refused_with_the_names_there_are():
    with pytest.raises(MocoError, match=r"x-ray.*photos"):
        fit(5000, 224, views="x-ray")


@pytest.mark.parametrize(
    "change", [{"batch": 0}, {"batch": -8}, {"batch": 1}, {"image_size": 0}, {"dictionary.size": 0}]
)
def test_values_that_make_no_sense_are_refused_by_their_flag(change):
    (field,) = change
    with pytest.raises(MocoError, match="--" + field.replace("_", "-")):
        check(fit(5000, 224, fixed=change))


@pytest.mark.parametrize("views", VIEWS)
def test_the_named_views_are_taken(views):
    assert fit(5000, 224, views=views).query_view == VIEWS[views]


FIXED = {
    "image_size": 96,
    "encoder.stem": "small",
    "encoder.backbone": "resnet34",
    "encoder.dim": 64,
    "encoder.norm_group": 4,
    "batch": 24,
    "dictionary.size": 300,
    "epochs": 3,
    "keys.m": 0.97,
    "keys.shuffle": False,
    "optim.lr": 0.5,
    "loss.temperature": 0.3,
    "schedule.per": "epoch",
    "query_view.flip": 0.0,
    "seed": 11,
}


@pytest.mark.parametrize("field", FIXED)
def test_what_the_user_sets_is_never_touched_nor_listed_as_a_choice(field):
    fixed = {field: FIXED[field]} | ({"batch": 24} if field == "encoder.norm_group" else {})
    r, choices = auto(DataFacts(5000, 224), fixed=fixed)
    assert flatten(r)[field] == FIXED[field]
    flag = "--" + field.replace("_", "-")
    assert flag not in [c.flag for c in choices]
    check(r)


def test_all_of_them_at_once():
    r, _ = auto(DataFacts(5000, 224), fixed=FIXED)
    assert {f: flatten(r)[f] for f in FIXED} == FIXED


def test_rate_groups_and_queue_follow_the_users_batch():
    for batch in (8, 24, 64, 100, 512):
        r = fit(50000, 224, fixed={"batch": batch})
        check(r)
        assert r.optim.lr == pytest.approx(0.03 * batch / 256)
        assert batch % r.encoder.norm_group == 0
        assert batch // r.encoder.norm_group >= 2
        assert r.dictionary.size >= 2 * batch
        epochs = BUDGET / (50000 // batch)
        assert r.epochs == max(FEWEST, round(epochs))


@pytest.mark.parametrize("size", [50, 100])
def test_the_batch_follows_the_users_queue(size):
    r = fit(5000, 224, fixed={"dictionary.size": size})
    check(r)
    assert r.dictionary.size == size
    assert r.batch <= size


@pytest.mark.parametrize("group", [3, 24, 48])
def test_the_batch_follows_the_users_groups(group):
    r = fit(5000, 224, fixed={"encoder.norm_group": group})
    check(r)
    assert r.encoder.norm_group == group
    assert r.batch // group >= 2


def test_a_queue_for_both_halves_of_a_symmetric_loss_is_long_enough():
    for images, side in DATA:
        check(fit(images, side, fixed={"loss.symmetric": True}))


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "timm:resnet18"])
def test_the_stem_follows_the_users_network(backbone):
    """A small stem is for ResNets only: small images get it only with those."""
    r = fit(5000, 32, fixed={"encoder.backbone": backbone})
    assert r.encoder.stem == "imagenet"
    assert build_backbone(r.encoder.backbone, r.encoder.stem) is not None


@pytest.mark.parametrize("batch", [4, 6, 9, 10, 15, 25, 49])
def test_any_batch_that_can_be_split_is_split(batch):
    r = fit(50000, 224, fixed={"batch": batch})
    assert batch // r.encoder.norm_group >= 2


def test_stem_and_network_follow_the_users_image_size():
    assert fit(5000, 224, fixed={"image_size": 32}).encoder.stem == "small"
    assert fit(5000, 32, fixed={"image_size": 64}).encoder.stem == "imagenet"


def test_every_choice_is_a_flag_a_value_and_a_reason():
    for images, side in DATA:
        r, choices = auto(DataFacts(images, side))
        leaves = flatten(r)
        assert len({c.flag for c in choices}) == len(choices)
        for c in choices:
            assert c.reason.strip()
            if c.flag != "--views":
                value = leaves[c.flag.removeprefix("--").replace("-", "_")]
                assert c.value == (f"{value:.3g}" if isinstance(value, float) else str(value))


def test_what_auto_changes_of_v2_is_told():
    """A choice that is not listed cannot be understood or changed."""
    r, choices = auto(DataFacts(5000, 32))
    told = {c.flag.removeprefix("--").replace("-", "_") for c in choices}
    different = {n for n, value in flatten(r).items() if flatten(v2())[n] != value}
    assert different - told <= {"name", "schedule.per"}


def test_the_choices_are_a_function_of_the_facts():
    for images, side in itertools.islice(DATA, 4):
        assert auto(DataFacts(images, side)) == auto(DataFacts(images, side))


@pytest.mark.parametrize(("images", "reason"), [(16, "the least"), (100, "an eighth of 100 images"), (9469, "papers")])
def test_the_reason_for_the_batch_is_true(images, reason):
    choices = auto(DataFacts(images, 64))[1]
    (batch,) = (c for c in choices if c.flag == "--batch")
    assert reason in batch.reason
    assert int(batch.value) * 8 <= images or "eighth" not in batch.reason


@any_data
@pytest.mark.parametrize("seen", [5_000, 200_000, 5_000_000])
def test_a_run_that_fits_a_time_is_counted_in_steps_and_can_be_trained(images, side, seen):
    r, choices = auto(DataFacts(images, side), length=Length(LADDER[0], seen, "20 min", "500 images/s"))
    check(r)
    assert r.epochs is None
    assert r.steps == max(1, seen // r.batch)
    assert r.batch <= (256 if seen >= LONG else 128)
    assert (r.encoder.backbone, r.encoder.stem, r.image_size) == ("resnet10w16", "half", 32)
    assert r.schedule.warmup_epochs * (images // r.batch) <= 0.1 * r.steps + 1
    assert {c.flag: c for c in choices}["--image-size"].reason == "500 images/s"


def test_what_the_user_fixed_holds_in_a_run_that_fits_a_time():
    fixed = {"encoder.backbone": "resnet18", "batch": 64, "optim.lr": 0.5}
    r, choices = auto(DataFacts(5000, 64), fixed=fixed, length=Length(LADDER[0], 64_000, "20 min"))
    assert (r.encoder.backbone, r.batch, r.optim.lr, r.steps) == ("resnet18", 64, 0.5, 1000)
    assert not {"--batch", "--optim.lr", "--encoder.backbone"} & {c.flag for c in choices}


@pytest.mark.parametrize(("size", "steps", "times"), [(32, 3000, 2), (64, 30_000, 2), (128, 3000, 2), (128, 30_000, 1)])
def test_a_run_that_fits_a_time_has_a_higher_rate_where_views_are_small_or_steps_are_few(size, steps, times):
    length = Length(replace(LADDER[0], size=size), steps * 128, "20 min")
    r, choices = auto(DataFacts(50_000, 256), fixed={"batch": 128}, length=length)
    assert r.optim.lr == pytest.approx(times * 0.03 * 128 / 256)
    (rate,) = (c for c in choices if c.flag == "--optim.lr")
    assert f"{times * 0.03} for 256 images" in rate.reason
