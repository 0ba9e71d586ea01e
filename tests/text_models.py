"""Text models of transformers, made small with its own classes and saved to a folder with a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "red", "blue", "dog", "house"]
SMALL = {"vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def bert(folder: Path, **changes) -> Path:
    """A BERT of one layer with dropout, over a WordPiece of eleven words."""
    maker = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    maker.normalizer = tokenizers.normalizers.Lowercase()
    maker.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    maker.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=maker, **named).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SMALL, "max_position_embeddings": 24, **changes})
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """A model of images and texts, with BERT's tokenizer beside it."""
    bert(folder)
    text, vision = {**SMALL, "max_position_embeddings": 24}, {**SMALL, "image_size": 16, "patch_size": 8}
    vision.pop("vocab_size")
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    """An encoder with a decoder behind it, which is left out."""
    bert(folder)
    config = transformers.T5Config(
        vocab_size=16, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    transformers.T5Model(config).save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    """A model without a word for padding."""
    bert(folder)
    config = transformers.GPT2Config(vocab_size=16, n_positions=24, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2Model(config).save_pretrained(folder)
    return folder
