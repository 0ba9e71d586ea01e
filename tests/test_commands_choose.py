"""Which recipe is meant, what the user's changes do to it, and plain words for the mistakes of recipe files."""

import pytest

from moco.commands.choose import choose_recipe, named_recipe
from moco.commands.tell import Silent
from moco.data.source import Hints
from moco.data.survey import Survey
from moco.errors import MocoError
from moco.recipe import RECIPES, named_views, override, to_json, v1, v2


class Photos:
    hints = Hints()


class Notes(Silent):
    def __init__(self):
        self.said, self.chosen = [], []

    def note(self, text):
        self.said.append(text)

    def choices(self, choices):
        self.chosen += [c.flag for c in choices]


def choose(recipe="auto", images=20_000, views=None, tell=None, **changes):
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return choose_recipe(recipe, Photos(), Survey(images, 64, 64, 4096.0), views, changes, tell or Silent())


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_is_its_recipe(name):
    assert named_recipe(name) == RECIPES[name]()


def test_a_json_file_is_a_recipe_with_or_without_byte_order_mark(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.json").write_text(to_json(v1()), encoding=encoding)
        assert named_recipe(str(tmp_path / "a.json")) == v1()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (to_json(v1()).encode("utf-16"), "UTF-8"),
        (b"not json", "not JSON"),
        (b"[1, 2]", "is not Recipe"),
        (b"{}", "is missing"),
        (None, "is a directory"),
    ],
)
def test_a_json_file_that_is_no_recipe_is_named(tmp_path, content, why):
    path = tmp_path / "a.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(MocoError, match=why) as said:
        named_recipe(str(path))
    assert str(path) in str(said.value)
    assert "\n" not in str(said.value)


def test_a_function_in_a_file_is_a_recipe(tmp_path):
    (tmp_path / "my.py").write_text("import moco\ndef street():\n    return moco.v1()\n")
    assert named_recipe(f"{tmp_path}/my.py:street") == v1()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def street(:\n", r"my.py, line 1: invalid syntax"),
        ("import nothing_of_that_name\n", r"my.py, line 1: ModuleNotFoundError: .*nothing_of_that_name"),
        ("\ndef street():\n    return 1 / 0\n", r"my.py, line 3: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", r"my.py, line 1: SystemExit: 3"),
        ("def road():\n    pass\n", r"my.py has no function 'street'"),
        ("def street():\n    return 7\n", r"my.py:street returned a int, not a moco.Recipe"),
        ("import moco\ndef street():\n    raise moco.MocoError('no')\n", r"my.py: no"),
        ("def street(x):\n    pass\n", r"my.py: TypeError"),
    ],
)
def test_a_mistake_in_a_recipe_file_is_one_line_with_its_place(tmp_path, text, why):
    (tmp_path / "my.py").write_text(text)
    with pytest.raises(MocoError, match=why) as said:
        named_recipe(f"{tmp_path}/my.py:street")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("name", ["v9", "none.json", "none.py:street", "folder.py:street"])
def test_what_is_not_there_is_said(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(MocoError, match="there is no recipe"):
        named_recipe(name)


def test_auto_tells_its_choices_and_keeps_the_users():
    tell = Notes()
    assert choose(tell=tell, batch=64).batch == 64
    assert "--batch" not in tell.chosen
    assert "--dictionary.size" in tell.chosen


@pytest.mark.parametrize("changes", [{"batch": "16"}, {"optim__lr": "fast"}, {"encoder__norm_group": 2.5}])
@pytest.mark.parametrize("recipe", ["auto", "v2"])
def test_a_change_of_a_wrong_type_is_named(recipe, changes):
    field = next(iter(changes)).replace("__", ".")
    with pytest.raises(MocoError, match=rf"{field}: .* is not"):
        choose(recipe, images=10**6, **changes)


def test_a_list_does_for_a_tuple_and_a_whole_number_for_a_real_one():
    chosen = choose("v2", images=10**6, query_view__scale=[0.3, 1], optim__lr=1)
    assert chosen == override(v2(), {"query_view.scale": (0.3, 1.0), "optim.lr": 1.0})
    assert isinstance(chosen.query_view.scale, tuple)
    assert isinstance(chosen.optim.lr, float)


def test_a_part_and_a_field_of_it_cannot_both_be_changed():
    with pytest.raises(MocoError, match=r"optim\.lr cannot be changed as well"):
        override(v2(), {"optim": v2().optim, "optim.lr": 0.1})


def test_named_views_replace_both_views():
    chosen = choose("v1", images=10**6, views="documents")
    assert (chosen.query_view, chosen.key_view) == (named_views("documents"), None)


def test_a_batch_without_its_rate_and_a_long_queue_are_noted():
    tell = Notes()
    choose("v2", images=300_000, tell=tell, batch=128)
    assert any("--batch 128 with the recipe's --optim.lr 0.03" in text for text in tell.said)
    assert any("holds 22% of the images" in text for text in tell.said)


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_a_seed_of_more_than_63_bits_is_refused_and_names_its_flag(seed):
    with pytest.raises(MocoError, match=rf"--seed {seed}: must lie between"):
        choose(seed=seed)
