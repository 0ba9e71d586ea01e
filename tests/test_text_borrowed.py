"""A text model of transformers as the tower of texts: made small here, saved to a folder, and read from it."""

from __future__ import annotations

import builtins
import dataclasses
import shutil

import pytest
import torch
from text_models import SMALL, bert, clip, gpt2, t5, transformers

from moco.errors import MocoError
from moco.recipe import check, image_text, override
from moco.text.borrowed import ABSENT, borrow


@pytest.mark.parametrize("make", [bert, clip, t5, gpt2])
def test_features_are_the_mean_over_the_words_of_the_models_last_layer(make, tmp_path):
    read = borrow(str(make(tmp_path)), 8)
    numbers, cut = read.encode(["a photo of a red dog", "Blue house"])
    assert cut == 0
    assert numbers[1].tolist() == [2, 8, 10, 3, *[ABSENT] * 4]
    tower = read.network().eval()
    found = tower(numbers)
    assert found.shape == (2, tower.width) == (2, 16)
    alone = tower.net(input_ids=torch.tensor([[2, 8, 10, 3]])).last_hidden_state.mean(dim=1)[0]
    torch.testing.assert_close(found[1], alone, rtol=1e-4, atol=1e-5)


def test_the_weights_are_those_of_the_folder_and_all_in_fp32(tmp_path):
    torch.manual_seed(0)
    saved = transformers.BertModel(transformers.BertConfig(**SMALL, max_position_embeddings=24)).to(torch.bfloat16)
    bert(tmp_path)
    saved.save_pretrained(tmp_path)
    net = borrow(str(tmp_path), 8).network().net
    for name, p in net.named_parameters():
        assert torch.equal(p, saved.get_parameter(name).float())


def test_a_tower_is_made_again_of_what_a_run_keeps_without_its_folder(tmp_path):
    read = borrow(str(bert(tmp_path / "model")), 8)
    tower = read.network().eval()
    shutil.rmtree(tmp_path / "model")
    again = dataclasses.replace(read, weights=None)
    other = again.network().eval()
    other.load_state_dict(tower.state_dict())
    numbers = again.encode(["a red dog"])[0]
    assert torch.equal(other(numbers), tower(numbers))


def test_ten_thousand_words_are_cut_and_counted_and_no_word_is_one(tmp_path):
    read = borrow(str(bert(tmp_path)), 8)
    numbers, cut = read.encode(["red dog " * 5000, "red", "x" * 100_000, ""])
    assert cut == 2
    assert (numbers[0] != ABSENT).all()
    assert numbers[0, -1] == 3, "its own last word is kept"
    assert read.network().eval()(numbers).isfinite().all()


def test_what_cannot_be_read_is_refused_in_a_line(tmp_path):
    with pytest.raises(MocoError, match=r"--text\.length 32: .* reads 24 words at most"):
        borrow(str(bert(tmp_path / "a")), 32)
    with pytest.raises(MocoError, match="its tokenizer knows 11 words and its network 8"):
        borrow(str(bert(tmp_path / "b", vocab_size=8)), 8)
    (tmp_path / "c").mkdir()
    with pytest.raises(MocoError, match="transformers cannot open it") as error:
        borrow(str(tmp_path / "c"), 8)
    assert "\n" not in str(error.value)
    bert(tmp_path / "d")
    (tmp_path / "d" / "tokenizer.json").unlink()
    with pytest.raises(MocoError, match="tokenizer"):
        borrow(str(tmp_path / "d"), 8)


def test_weights_of_another_model_are_refused(tmp_path):
    read = borrow(str(bert(tmp_path, num_hidden_layers=2)), 8)
    transformers.BertModel(transformers.BertConfig(**SMALL, max_position_embeddings=24)).save_pretrained(
        tmp_path, save_config=False
    )
    config = transformers.BertConfig(**{**SMALL, "num_hidden_layers": 2}, max_position_embeddings=24)
    config.save_pretrained(tmp_path)
    with pytest.raises(MocoError, match=r"the weights lack 16 tensors, such as encoder\.layer\.1"):
        read.network()


def test_without_the_library_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    there = builtins.__import__

    def absent(name, *rest, **more):
        if name == "transformers":
            raise ImportError(name)
        return there(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MocoError, match=r"pip install 'momentum-contrast\[transformers\]'"):
        borrow(str(tmp_path), 8)


def test_the_numbers_of_the_own_tower_have_no_meaning_beside_it():
    check(override(image_text(), {"text.tower": "folder"}))
    with pytest.raises(MocoError, match=r"--text\.width 64: --text\.tower folder has its own; leave it out"):
        check(override(image_text(), {"text.tower": "folder", "text.width": 64}))


def test_dropout_that_its_settings_ask_for_is_off_while_it_is_trained(tmp_path):
    read = borrow(str(bert(tmp_path, hidden_dropout_prob=0.5)), 8)
    numbers, tower = read.encode(["a red dog"])[0], read.network().train()
    found = tower(numbers)
    assert tower.training
    assert torch.equal(found, tower(numbers))
    found.sum().backward()
    assert all(p.grad is not None for name, p in tower.named_parameters() if "pooler" not in name)
