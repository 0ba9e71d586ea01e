"""A plain vision transformer (arXiv:2010.11929) as MoCo v3 trains it; its tensors have timm's names and layout.

Positions are sines and cosines and not learnt (v3, section 4); features are those of the class token. Patches may be
dropped before the first block, so that what is not seen costs nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moco.ops.attention import attention
from moco.recipe.vit import VitName

_EPS = 1e-6
"""Of LayerNorm."""


class ViT(nn.Module):
    """Images (N x C x S x S) to the class token (N x D) behind the last block."""

    def __init__(self, shape: VitName, channels: int = 3) -> None:
        super().__init__()
        width = shape.width
        self.shape = shape
        self.image_size = shape.side
        self.patch_embed = Patches(channels, width, shape.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sines_and_cosines(shape.grid, width), requires_grad=False)
        self.blocks = nn.Sequential(*(Block(width, shape.heads) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self._draw_weights_(channels * shape.patch**2)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Features of images; of the patches `kept` alone (N x n, their numbers row by row) where it is given."""
        patches = self.patch_embed(images)
        positions = self._positions(patches.shape[-2], patches.shape[-1])
        tokens = patches.flatten(2).transpose(1, 2) + positions[:, 1:]
        if kept is not None:
            tokens = tokens.gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[-1]))
        first = (self.cls_token + positions[:, :1]).expand(tokens.shape[0], -1, -1).to(tokens.dtype)
        features: Tensor = self.norm(self.blocks(torch.cat([first, tokens], dim=1))).select(1, 0)
        return features

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Those of its own grid; for images of another size, drawn out over theirs, as timm does it."""
        grid = self.shape.grid
        if (rows, columns) == (grid, grid):
            return self.pos_embed
        square = self.pos_embed[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        drawn = F.interpolate(square, size=(rows, columns), mode="bicubic", antialias=True)
        return torch.cat([self.pos_embed[:, :1], drawn.flatten(2).transpose(1, 2)], dim=1)

    @torch.no_grad()
    def _draw_weights_(self, values: int) -> None:
        """As the official v3: Xavier for all; query, key and value each by itself, the patches' as a matrix."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                out, into = module.weight.shape
                fan = out // 3 + into if name.endswith("qkv") else out + into
                bound = math.sqrt(6 / fan)
                module.weight.uniform_(-bound, bound)
                module.bias.zero_()
        bound = math.sqrt(6 / (values + self.shape.width))
        for parameter, size in zip(self.patch_embed.proj.parameters(), (bound, 0.0), strict=True):
            parameter.uniform_(-size, size)
        self.cls_token.normal_(std=1e-6)


class Patches(nn.Module):
    """Each patch (P x P pixels) to a token (D)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N x C x S x S) to N x D x S/P x S/P."""
        tokens: Tensor = self.proj(images)
        return tokens


class Block(nn.Module):
    """Attention, then an MLP of four times the width, each behind a LayerNorm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N x T x D) to tokens."""
        x = x + self.attn(self.norm1(x))
        grown: Tensor = x + self.mlp(self.norm2(x))
        return grown


class MLP(nn.Module):
    """Each token by itself through a layer of four times its width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N x T x D) to tokens."""
        grown: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return grown


class Attention(nn.Module):
    """Each token looks at all, in `heads` ways."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N x T x D) to tokens."""
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        seen = attention(q, k, v)
        looked: Tensor = self.proj(seen.transpose(1, 2).reshape(n, tokens, width))
        return looked


def sines_and_cosines(grid: int, width: int) -> Tensor:
    """Positions of a class token (zeros) and of grid x grid patches, row by row: 1 x (1 + grid^2) x width.

    A quarter each of sines and cosines of the row, then of the column, at wavelengths from 2 pi to 20,000 pi
    (arXiv:1706.03762, in two dimensions; v3, section 4).
    """
    omega = 1 / 10_000 ** (torch.arange(width // 4, dtype=torch.float32) / (width // 4))
    row, column = (
        place.flatten()[:, None] * omega for place in torch.meshgrid(*[torch.arange(grid)] * 2, indexing="ij")
    )
    patches = torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)
    return torch.cat([patches.new_zeros(1, width), patches])[None]
