"""The tokenizer: made on the captions of a run, kept with it, and the numbers that a text becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moco.errors import MocoError
from moco.recipe.text import Text

PAD, _, START, END = range(4)
_SPECIAL = ["[PAD]", "[UNK]", "[START]", "[END]"]
_LETTERS = 12
"""Letters a word, about, that are looked at: of a text of 10,000 words only the start is cut into words."""


@dataclass(frozen=True)
class Words:
    """A tokenizer, as the JSON text that the library `tokenizers` writes, and how many words a text may have."""

    tokenizer: str
    length: int

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, int]:
        """The numbers of N texts (N x L int32, [START] ... [END], then zeros), and how many were cut."""
        maker = library().Tokenizer.from_str(self.tokenizer)
        room, most = self.length - 2, cut_at(self.length)
        numbers = np.zeros((len(texts), self.length), dtype=np.int32)
        cut = 0
        for first in range(0, len(texts), 4096):
            some = texts[first : first + 4096]
            for row, (text, found) in enumerate(zip(some, maker.encode_batch([t[:most] for t in some]), strict=True)):
                ids = found.ids[:room]
                cut += len(found.ids) > room or len(text) > most
                numbers[first + row, : len(ids) + 2] = [START, *ids, END]
        return torch.from_numpy(numbers), cut


def learn_words(texts: Sequence[str], text: Text) -> Words:
    """The tokenizer of these captions: byte-level BPE (arXiv:1508.07909; GPT-2), in lower case.

    Raises MocoError where the library is not there.
    """
    parts = library()
    most = cut_at(text.length)
    maker = parts.Tokenizer(parts.models.BPE())
    maker.normalizer = parts.normalizers.Sequence([parts.normalizers.NFC(), parts.normalizers.Lowercase()])
    maker.pre_tokenizer = parts.pre_tokenizers.ByteLevel(add_prefix_space=True)
    maker.decoder = parts.decoders.ByteLevel()
    trainer = parts.trainers.BpeTrainer(
        vocab_size=text.vocabulary,
        special_tokens=_SPECIAL,
        initial_alphabet=sorted(parts.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    maker.train_from_iterator((one[:most] for one in texts), trainer)
    return Words(maker.to_str(), text.length)


def cut_at(length: int) -> int:
    """Letters of a text that are looked at for so many words."""
    return length * _LETTERS


def library() -> Any:
    """`tokenizers`; raises MocoError where it is not there."""
    try:
        import tokenizers
    except ImportError:
        raise MocoError("captions need the library tokenizers: pip install 'momentum-contrast[text]'") from None
    return tokenizers
