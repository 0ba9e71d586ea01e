"""What `auto` tried, as the page shows it."""

from moco.pages.chosen import chosen

RATE = {"network": {"backbone": "resnet10w16", "stem": "half", "size": 32, "worth": 0}, "seconds": 0.002}
TRIED = {"views": "near", "steps": 90, "scores": {"rotation": 0.5, "retrieval, photos": 0.125}, "merit": 1.0}


def test_a_run_of_another_recipe_has_nothing_to_show():
    assert chosen({}) is None


def test_scores_are_shares_in_percent_and_rates_images_a_second():
    record = {
        "views": {"views": "near", "tried": [TRIED], "seconds": 61.0},
        "rates": [RATE | {"measured": True}, RATE | {"measured": False}],
        "outlook": "four times the time would show more",
    }
    shown = chosen(record)
    assert shown.scores == ["rotation", "retrieval, photos"]
    assert shown.views == [["near", "90", "50.0", "12.5"]]
    assert shown.networks[0] == ["resnet10w16", "32 px", "500", "measured"]
    assert shown.networks[1][-1] == "told from its cost"


def test_without_a_search_that_is_said():
    assert "not searched" in chosen({"views": None, "rates": []}).sentence
