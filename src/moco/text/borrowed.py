"""A text model of the library transformers as the tower of texts: its weights, its own tokenizer, its own settings.

Features are the mean over a text's words behind the last layer, as in sentence encoders (arXiv:1908.10084).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from moco.errors import MocoError
from moco.quiet import quietly
from moco.text.words import cut_at, library

ABSENT = -1
"""Stands behind the last word of a text; what fills it up is the network's affair."""


@dataclass(frozen=True)
class Borrowed:
    """A text model by its own settings, with its tokenizer, as text that a run keeps."""

    settings: str
    """As JSON."""
    tokenizer: str
    """As the library `tokenizers` writes it."""
    length: int
    weights: str | None = None
    """Where they are: a folder, or a name on the hub. None: in the checkpoint of the run."""

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, int]:
        """The numbers of N texts (N x L int32, the tokenizer's own first and last words among them), how many were cut.

        Behind the last word they are ABSENT.
        """
        maker = library().Tokenizer.from_str(self.tokenizer)
        maker.no_padding()
        maker.enable_truncation(self.length)
        most, cut = cut_at(self.length), 0
        numbers = torch.full((len(texts), self.length), ABSENT, dtype=torch.int32)
        for first in range(0, len(texts), 4096):
            some = texts[first : first + 4096]
            for row, (text, found) in enumerate(zip(some, maker.encode_batch([t[:most] for t in some]), strict=True)):
                cut += bool(found.overflowing) or len(text) > most
                ids = found.ids or [0]  # a text of no word that it knows is its first
                numbers[first + row, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
        return numbers, cut

    def network(self) -> BorrowedTower:
        """The tower: with its weights, or random where a checkpoint holds them; raises MocoError."""
        with _library() as transformers:
            stated = json.loads(self.settings)
            config = transformers.CONFIG_MAPPING[stated["model_type"]].from_dict(stated)
            if self.weights is None:
                net = transformers.AutoModel.from_config(config, dtype=torch.float32)
            else:
                net = _fetched(self.weights, lambda: _net(transformers, str(self.weights), config))
        fill = getattr(config, "pad_token_id", None)
        return BorrowedTower(net.get_encoder() if config.is_encoder_decoder else net, fill or 0, config.hidden_size)


class BorrowedTower(nn.Module):
    """Texts (N x L whole numbers) to features (N x D), never with dropout.

    CLIP's reader of texts has none (arXiv:2103.00020), and with it a caption's key would differ from draw to draw and
    with the number of processes. So what a model's settings say of dropout is for its own training.
    """

    def __init__(self, net: nn.Module, fill: int, width: int) -> None:
        super().__init__()
        self.net, self.fill, self.width = net.eval(), fill, width

    def train(self, mode: bool = True) -> Self:
        """Of the tower; its network stays as it is used."""
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, numbers: Tensor) -> Tensor:
        """The features of each text."""
        there = numbers != ABSENT
        words = numbers.masked_fill(~there, self.fill).long()
        behind: Tensor = self.net(input_ids=words, attention_mask=there.long()).last_hidden_state
        share = there[..., None].to(behind.dtype)
        mean: Tensor = (behind * share).sum(dim=1) / share.sum(dim=1)
        return mean


def borrow(name: str, length: int) -> Borrowed:
    """The text model in a folder, or of that name on the hub, to read texts of so many words.

    Of a model of images and texts (CLIP and its kin), the half that reads. Raises MocoError where the library is not
    there, what is named cannot be opened, has no tokenizer of the library `tokenizers`, or reads fewer words.
    """
    place = str(Path(name).expanduser().resolve()) if Path(name).expanduser().exists() else name
    with _library() as transformers:
        config, tokenizer = _fetched(name, lambda: _settings(transformers, place))
    maker = getattr(tokenizer, "backend_tokenizer", None)
    if maker is None:
        raise MocoError(f"--text.tower {name}: its tokenizer has no tokenizer.json; choose a model that has one")
    config = getattr(config, "text_config", None) or config
    words, most = maker.get_vocab_size(), min(
        int(tokenizer.model_max_length), getattr(config, "max_position_embeddings", None) or 1 << 30
    )  # fmt: skip
    if length > most:
        raise MocoError(f"--text.length {length}: {name} reads {most:,} words at most")
    if words > config.vocab_size:
        raise MocoError(
            f"--text.tower {name}: its tokenizer knows {words:,} words and its network {config.vocab_size:,}; they are "
            "not of one model"
        )
    return Borrowed(config.to_json_string(use_diff=False), maker.to_str(), length, place)


def _settings(transformers: Any, place: str) -> tuple[Any, Any]:
    config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
    return config, transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)


def _net(transformers: Any, place: str, config: Any) -> nn.Module:
    """Its network, with nothing of what features are made of left random."""
    net, told = transformers.AutoModel.from_pretrained(
        place, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    if lacking := sorted(name for name in told["missing_keys"] if "pooler" not in name):
        raise ValueError(f"the weights lack {len(lacking)} tensors, such as {lacking[0]}")
    found: nn.Module = net
    return found


def _fetched(name: str, get: Callable[[], Any]) -> Any:
    try:
        return get()
    except Exception as error:  # whatever the library or its hub's client raises
        reason = " ".join(str(error).split()).split(". ")[0][:160] or type(error).__name__
        raise MocoError(
            f"--text.tower {name}: transformers cannot open it ({reason}); name a folder with config.json, the weights "
            "and tokenizer.json (model.save_pretrained and tokenizer.save_pretrained write them), or a name on its hub"
        ) from None


@contextmanager
def _library() -> Iterator[Any]:
    try:
        import transformers
    except ImportError:
        raise MocoError(
            "--text.tower needs the library transformers: pip install 'momentum-contrast[transformers]'"
        ) from None
    with quietly():
        yield transformers
