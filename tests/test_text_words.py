"""The tokenizer, the tower that reads its numbers, and retrieval."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from moco.recipe import Text
from moco.text.recall import each_once, recalls
from moco.text.tower import TextTower
from moco.text.words import END, START, Words, learn_words

TEXTS = [f"a photo of a {size} {colour} {thing}" for size in ("small", "large") for colour in ("red", "blue")
         for thing in ("dog", "house", "car")]  # fmt: skip


@pytest.fixture(scope="module")
def words() -> Words:
    return learn_words(TEXTS, Text(vocabulary=400, length=12))


def test_a_text_becomes_numbers_between_start_and_end_whatever_its_case(words: Words) -> None:
    numbers, cut = words.encode(["A small RED dog", "a small red dog", "a large red dog"])
    assert numbers.shape == (3, 12)
    assert cut == 0
    assert torch.equal(numbers[0], numbers[1])
    assert not torch.equal(numbers[1], numbers[2])
    assert (numbers[:, 0] == START).all()
    assert ((numbers == END).sum(dim=1) == 1).all()


def test_ten_thousand_words_are_cut_and_counted(words: Words) -> None:
    numbers, cut = words.encode(["red dog " * 5000, "red", "x" * 100_000])
    assert cut == 2
    assert (numbers[0] != 0).all()
    assert numbers[0, -1] == END


def test_a_tokenizer_is_made_again_the_same_and_goes_through_its_text(words: Words) -> None:
    again = learn_words(TEXTS, Text(vocabulary=400, length=12))
    assert again == words
    assert torch.equal(Words(words.tokenizer, 12).encode(TEXTS)[0], words.encode(TEXTS)[0])


def test_letters_that_were_never_seen_are_read_by_their_bytes(words: Words) -> None:
    numbers, _ = words.encode(["日本", "кот", ""])
    assert not torch.equal(numbers[0], numbers[1])
    assert (numbers[2] != 0).sum() == 2


def test_what_stands_behind_the_end_of_a_text_changes_nothing() -> None:
    torch.manual_seed(0)
    tower = TextTower(Text(vocabulary=300, length=10, width=16, heads=2))
    numbers = torch.randint(4, 300, (3, 10), dtype=torch.int32)
    numbers[:, 6:] = 0
    found = tower(numbers)
    assert found.shape == (3, 16)
    for words in tower.words.weight.data[:1]:
        words += 5  # of the padding
    torch.testing.assert_close(tower(numbers), found)


def test_the_order_of_words_matters() -> None:
    torch.manual_seed(0)
    tower = TextTower(Text(vocabulary=300, length=10, width=16, heads=2))
    numbers = torch.randint(4, 300, (1, 10), dtype=torch.int32)
    assert not torch.allclose(tower(numbers), tower(numbers.flip(1)), atol=1e-4)


def test_recall_counts_a_partner_among_the_first_and_a_tie_against_it() -> None:
    texts = F.normalize(torch.eye(20), dim=1)
    images = texts.clone()
    images[3] = texts[4]
    images[5] = (texts[5] + texts[6]) / 2**0.5
    images[7] = F.normalize(texts[8:12].sum(dim=0) + 0.1 * texts[7], dim=0)
    own = torch.arange(20)
    found = recalls(images, texts, own)
    assert found[1] == pytest.approx(17 / 20)
    assert found[5] == pytest.approx(19 / 20)
    same = own.clone()
    same[4] = 3
    assert recalls(images, texts, same)[1] == pytest.approx(18 / 20)


def test_copies_of_a_caption_are_one_answer() -> None:
    groups = torch.tensor([7, 2, 2, 2, 2, 2, 5])
    once = each_once(groups)
    assert sorted(groups[once].tolist()) == [2, 5, 7]
    texts = F.normalize(torch.eye(7), dim=1)
    texts[1:6] = texts[1].clone()
    image = F.normalize(0.9 * texts[1] + 0.5 * texts[0], dim=0).repeat(7, 1)
    assert recalls(image, texts, groups)[5] == pytest.approx(5 / 7), "the first five are copies of one wrong caption"
    assert recalls(image, texts[once], groups, groups[once])[5] == 1
