"""A small Transformer that reads the numbers of a text (pre-norm, as GPT-2 and CLIP's text encoder)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from moco.ops.attention import attention
from moco.recipe.text import Text
from moco.text.words import PAD


class TextTower(nn.Module):
    """Texts (N x L whole numbers) to features (N x D): the mean over a text's words behind the last layer."""

    def __init__(self, text: Text) -> None:
        super().__init__()
        self.width = text.width
        self.words = nn.Embedding(text.vocabulary, text.width)
        self.places = nn.Parameter(torch.empty(text.length, text.width))
        self.blocks = nn.ModuleList(_Block(text.width, text.heads) for _ in range(text.layers))
        self.norm = nn.LayerNorm(text.width)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.01)

    def forward(self, numbers: Tensor) -> Tensor:
        """The features of each text; a text without a word is its [START] and [END]."""
        there = numbers != PAD
        x = self.words(numbers) + self.places
        for block in self.blocks:
            x = block(x, there[:, None, None, :])
        share = there[..., None].to(x.dtype)
        mean: Tensor = (self.norm(x) * share).sum(dim=1) / share.sum(dim=1)
        return mean


class _Block(nn.Module):
    """Attention over the words that are there, then two layers for each word."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.all_three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        n, length, width = x.shape
        three = self.all_three(self.before_attention(x)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = three.permute(2, 0, 3, 1, 4)
        seen = attention(q, k, v, there)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        out: Tensor = x + self.layers(self.before_layers(x))
        return out
