"""The tasks' settings are the papers' (v1, sections 4.2 and A.1 to A.5) and Detectron2's."""

from dataclasses import replace

import pytest

from moco.errors import MocoError
from moco.recipe import flatten, override, read_json, to_json
from moco.transfer.recipe import FCN, TASKS, Regions, Schedule, Trial, detect_voc, segment_cityscapes, segment_voc


def test_voc_detection_is_that_of_v1():
    recipe = detect_voc()
    assert recipe.batch == 16
    assert recipe.rate(200) == pytest.approx(0.02)
    assert [recipe.rate(step) / 0.02 for step in (17_999, 18_000, 21_999, 22_000)] == pytest.approx([1, 0.1, 0.1, 0.01])
    assert recipe.schedule.warmup == 100
    assert recipe.rate(0) == pytest.approx(0.02 / 1000)
    assert recipe.views.short == tuple(range(480, 801, 32))
    assert (recipe.views.test, recipe.optim.momentum, recipe.optim.weight_decay) == (800, 0.9, 1e-4)
    assert isinstance(recipe.parts, Regions)
    assert (recipe.parts.before_nms[1], recipe.parts.after_nms[1]) == (6000, 1000)
    assert recipe.group == 16, "BatchNorm is synchronised over the whole batch"


@pytest.mark.parametrize(
    ("task", "steps", "falls"),
    [
        ("detect-coco", 90_000, (60_000, 80_000)),
        ("detect-coco-2x", 180_000, (120_000, 160_000)),
        ("detect-coco-6x", 540_000, (480_000, 520_000)),
        ("keypoints", 180_000, (120_000, 160_000)),
        ("instance-cityscapes", 24_000, (18_000,)),
        ("segment-voc", 30_000, (21_000, 27_000)),
        ("segment-cityscapes", 90_000, (63_000, 81_000)),
    ],
)
def test_schedules_fall_to_a_tenth_where_the_papers_say(task, steps, falls):
    schedule = TASKS[task]().schedule
    assert schedule.steps == steps
    assert [s for s in range(1001, steps) if schedule.rate(s) < 0.5 * schedule.rate(s - 1)] == list(falls)


def test_segmentation_is_that_of_v1():
    voc, city = segment_voc(), segment_cityscapes()
    assert isinstance(voc.parts, FCN)
    assert voc.parts.dilation == 6
    assert (voc.optim.lr, voc.views.size, city.optim.lr, city.views.size) == (0.003, 513, 0.01, 769)
    assert voc.views.scale == (0.5, 2.0)


def test_lvis_finds_more_with_lower_scores_and_repeats_rare_images():
    recipe = TASKS["instance-lvis"]()
    assert (recipe.parts.least_score, recipe.parts.most_found, recipe.repeat) == (1e-4, 300, 0.001)


def test_the_rate_follows_the_batch():
    assert replace(detect_voc(), batch=8).rate(5000) == pytest.approx(0.01)
    assert TASKS["instance-cityscapes"]().rate(5000) == pytest.approx(0.01), "of 8 images"


def test_a_short_schedule_does_not_only_warm_up():
    short = Schedule(steps=50)
    assert short.rate(10) == 1.0


@pytest.mark.parametrize("task", TASKS)
def test_a_trial_survives_json_and_its_fields_can_be_set_by_name(task):
    trial = Trial(recipe=TASKS[task](), start="random", labels=0.5, seed=3)
    assert read_json(to_json(trial), Trial) == trial
    changed = override(trial, {"recipe.schedule.steps": 7})
    assert flatten(changed)["recipe.schedule.steps"] == 7


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"norm_group": 5}, "--norm-group 5"),
        ({"batch": 0}, "--batch 0"),
        ({"schedule.steps": 0}, "--schedule.steps 0"),
        ({"optim.lr": 0.0}, "--optim.lr"),
        ({"views.short": (4,)}, "--views.short 4"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, why):
    with pytest.raises(MocoError, match=why):
        override(detect_voc(), changes)
