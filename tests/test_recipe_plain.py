"""Recipes as plain data: JSON and back, changes by dotted name, refusals that name the place."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from moco.errors import MocoError
from moco.recipe import (
    RECIPES,
    VIEWS,
    Grouped,
    Recipe,
    View,
    cifar,
    flatten,
    from_json,
    image_text,
    override,
    to_json,
    v1,
    v2,
    v3_small,
)

every_recipe = pytest.mark.parametrize("recipe", [make() for make in RECIPES.values()], ids=list(RECIPES))


@every_recipe
def test_json_and_back_gives_the_same_recipe(recipe):
    assert from_json(to_json(recipe)) == recipe
    assert to_json(from_json(to_json(recipe))) == to_json(recipe)


def test_what_is_known_of_images_and_what_queries_are_not_shown_survive_json():
    hidden = {"query_view.keep": 0.25, "query_view.erase": 0.5}
    for recipe in (
        replace(v2(), groups=Grouped(by="parent", window=30.0, positives=4)),
        override(v3_small(), hidden),
        override(image_text(), {"text.tower": "models/bert", "text.length": 77}),
    ):
        assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize("views", VIEWS)
def test_every_set_of_views_survives_json_for_queries_and_for_keys(views):
    recipe = replace(v2(), query_view=VIEWS[views], key_view=VIEWS[views])
    assert from_json(to_json(recipe)) == recipe


def test_parts_name_their_type():
    data = json.loads(to_json(cifar()))
    assert data["dictionary"] == {"type": "Queue", "size": 4096, "store": "fp32"}
    assert data["schedule"]["type"] == "Cosine"
    assert data["keys"]["type"] == "Momentum"
    assert data["key_view"] is None


def changed(change, recipe=None):
    """The JSON of v1 with something done to it."""
    data = json.loads(to_json(recipe or v1()))
    change(data)
    return json.dumps(data)


def test_a_field_that_is_not_there_takes_its_default():
    assert from_json(changed(lambda d: d["optim"].pop("nesterov"))) == v1()


def test_whole_numbers_are_taken_for_real_ones():
    found = from_json(changed(lambda d: d["loss"].update(temperature=1)))
    assert found.loss.temperature == 1
    assert isinstance(found.loss.temperature, float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(colour=1), ["recipe", "colour", "query_view"]),
        (lambda d: d["encoder"].update(depth=50), ["recipe.encoder", "depth", "backbone"]),
        (lambda d: d["query_view"]["jitter"].update(gamma=1), ["recipe.query_view.jitter", "gamma"]),
        (lambda d: d.pop("loss"), ["recipe", "loss", "missing"]),
        (lambda d: d.pop("name"), ["recipe", "name", "missing"]),
        (lambda d: d.update(epochs="ten"), ["recipe.epochs", "'ten'", "int"]),
        (lambda d: d.update(epochs=10.5), ["recipe.epochs", "10.5", "int"]),
        (lambda d: d.update(epochs=True), ["recipe.epochs", "True"]),
        (lambda d: d["loss"].update(temperature="warm"), ["recipe.loss.temperature", "'warm'", "float"]),
        (lambda d: d["loss"].update(symmetric=1), ["recipe.loss.symmetric", "1", "bool"]),
        (lambda d: d["encoder"].update(stem="tiny"), ["recipe.encoder.stem", "'tiny'", "small"]),
        (lambda d: d["encoder"].update(norm_group=[32]), ["recipe.encoder.norm_group", "[32]"]),
        (lambda d: d["query_view"].update(scale=[0.2]), ["recipe.query_view.scale", "[0.2]"]),
        (lambda d: d["query_view"].update(scale=[0.2, 0.5, 1.0]), ["recipe.query_view.scale"]),
        (lambda d: d["query_view"].update(scale=0.2), ["recipe.query_view.scale"]),
        (lambda d: d["query_view"].update(order=["jitter", "rotate"]), ["recipe.query_view.order", "rotate"]),
        (lambda d: d.update(keys="Momentum"), ["recipe.keys", "'Momentum'"]),
        (lambda d: d["keys"].pop("type"), ["recipe.keys", "type", "Momentum", "EndToEnd", "Stored"]),
        (lambda d: d["keys"].update(type="Random"), ["recipe.keys", "'Random'", "Momentum"]),
        (lambda d: d["keys"].update(type="Queue"), ["recipe.keys", "'Queue'", "Momentum"]),
        (lambda d: d["keys"].update(type=["Momentum"]), ["recipe.keys", "Momentum"]),
        (lambda d: d.update(schedule=[]), ["recipe.schedule"]),
        (lambda d: d.update(epochs={"value": 3}), ["recipe.epochs"]),
        (lambda d: d["optim"].update(lr=10**400), ["recipe.optim.lr"]),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change, words):
    with pytest.raises(MocoError) as error:
        from_json(changed(change))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "recipe: v1", "[]", "3", "null", '"v1"', "{}"])
def test_what_is_no_recipe_at_all_is_refused(text):
    with pytest.raises(MocoError, match="recipe"):
        from_json(text)


@every_recipe
def test_flatten_and_override_are_inverse(recipe):
    leaves = flatten(recipe)
    assert override(recipe, leaves) == recipe
    shifted = replace(recipe, name="other", seed=7, epochs=3)
    assert override(shifted, leaves) == recipe
    assert flatten(override(recipe, {"seed": 9, "image_size": 64})) == leaves | {"seed": 9, "image_size": 64}


@every_recipe
def test_every_leaf_of_a_recipe_is_a_plain_value_by_its_dotted_name(recipe):
    leaves = flatten(recipe)
    assert leaves["encoder.backbone"] == recipe.encoder.backbone
    assert leaves["query_view.jitter.hue"] == recipe.query_view.jitter.hue
    assert all(isinstance(v, int | float | str | bool | tuple | None) for v in leaves.values())


def test_fields_are_changed_by_dotted_name_all_at_once_and_the_rest_is_kept():
    old = v1()
    new = override(old, {"optim.lr": 0.1, "epochs": 5, "query_view.jitter.hue": 0.2, "query_view.gray": 0.0})
    assert (new.optim.lr, new.epochs, new.query_view.jitter.hue, new.query_view.gray) == (0.1, 5, 0.2, 0.0)
    assert flatten(old) == flatten(v1()), "the recipe itself is not touched"
    assert flatten(new).keys() == flatten(old).keys()
    assert {n for n, value in flatten(new).items() if value != flatten(old)[n]} == {
        "optim.lr",
        "epochs",
        "query_view.jitter.hue",
        "query_view.gray",
    }


def test_a_part_can_be_changed_whole():
    assert override(v1(), {"optim": cifar().optim}).optim == cifar().optim
    assert override(v1(), {"key_view": View(gray=1.0)}).key_view == View(gray=1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("colour", ["colour", "query_view"]),
        ("optim.rate", ["optim.rate", "lr"]),
        ("schedule.warmup_epochs", ["schedule.warmup_epochs", "factor"]),
        ("query_view.jitter.gamma", ["query_view.jitter.gamma", "hue"]),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_those_that_are(change, words):
    with pytest.raises(MocoError) as error:
        override(v1(), {change: 1})
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("change", ["optim.lr.base", "epochs.first"])
def test_a_name_below_a_plain_value_is_refused(change):
    with pytest.raises(MocoError, match=change.rsplit(".", 1)[0]):
        override(v1(), {change: 1})


def test_a_field_of_a_key_view_that_is_drawn_like_the_query_view_is_changed_or_refused():
    """Not silently turned into something that is no View."""
    try:
        found = override(v1(), {"key_view.gray": 1.0})
    except MocoError as error:
        assert "key_view" in str(error)  # noqa: PT017
    else:
        assert found.key_view == replace(v1().query_view, gray=1.0)


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(AttributeError):
        v1().epochs = 3
    assert isinstance(v1(), Recipe)
