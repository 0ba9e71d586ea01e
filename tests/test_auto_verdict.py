"""The verdict without labels: it claims only what the measurements bear."""

from moco.auto.verdict import WITHOUT_COLOUR, verdict


def scores(rotation):
    return {"rotation": rotation, "retrieval, photos": 0.1}


def test_a_clear_rise_of_the_rotation_probe_is_said_to_have_paid_most_likely():
    said = verdict(scores(0.45), scores(0.52), 2048, 512, "runs/a")
    assert "most likely it paid" in said
    assert "52%" in said
    assert "45%" in said


def test_without_such_a_rise_nothing_is_claimed_and_the_way_to_know_is_named():
    said = verdict(scores(0.45), scores(0.45), 2048, 512, "runs/a")
    assert "cannot be told" in said
    assert "moco evaluate runs/a" in said
    assert "--views" in said


def test_images_without_up_and_down_are_told_apart():
    assert "no up and down" in verdict(scores(0.26), scores(0.25), 2048, 512, "runs/a")


def test_a_rise_on_few_images_is_no_clear_one():
    few, many = (verdict(scores(0.31), scores(0.42), images, images, "runs/a") for images in (16, 64))
    assert "cannot be told" in few
    assert "most likely it paid" in many


def test_images_that_are_copies_of_one_taught_nothing():
    copies = {"rotation": 1.0, "retrieval, photos": 1 / 200}
    assert "nothing was learnt" in verdict(copies, copies, 200, 200, "runs/a")


def test_turns_that_are_found_by_colour_alone_are_no_up_and_down():
    before = scores(0.45) | {WITHOUT_COLOUR: 0.3}
    assert "no up and down" in verdict(before, scores(0.52), 2048, 512, "runs/a")
    assert "most likely it paid" in verdict(before | {WITHOUT_COLOUR: 0.44}, scores(0.52), 2048, 512, "runs/a")
