"""What is judged: anything that makes features of images. An encoder of any origin, the same untrained, the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.recipe import Normalize, Recipe
from moco.run.load import Opened

BASELINES = ("random", "pixels")
"""What an encoder is put beside where nothing else is named."""

ROWS = ("this encoder", "untrained")
"""Names of rows that no other encoder may have: features are kept by the name of a row."""

MOST_PIXELS = 32
"""Side of the images whose pixels are features; larger ones are averaged down to it (Torralba et al., 2008)."""


@dataclass(frozen=True)
class Contender:
    """Images to features: one row of every table. No protocol knows more about it than this."""

    name: str
    about: str
    """What it is, in a few words."""
    preprocess: Preprocess
    module: nn.Module
    """N x 3 x S x S, as `preprocess` makes them, to features N x D."""
    whole: nn.Module | None = None
    """With its projection head: images to unit vectors N x C. None where there is none."""
    recipe: Recipe | None = None
    """What it was trained by, where that is known: its views."""
    trained: bool = True
    """Whether it has learnt from images before."""
    again: Callable[[int], nn.Module] | None = None
    """Of an untrained one: another random initialisation for each number; 0 is `module`."""

    @property
    def learns(self) -> bool:
        """Whether there is anything to train in it."""
        return any(True for _ in self.module.parameters())


class Pixels(nn.Module):
    """The image itself as features: N x 3 s^2 numbers in [0, 1], where s is at most 32."""

    def forward(self, images: Tensor) -> Tensor:
        """Features of images N x 3 x S x S in [0, 1]."""
        side = min(images.shape[-1], MOST_PIXELS)
        return F.adaptive_avg_pool2d(images, side).flatten(1)


def contenders(
    encoder: str, opened: Opened, against: Sequence[str], open_other: Callable[[str], Opened]
) -> list[Contender]:
    """The encoder first, then what it is put against: `random`, `pixels`, or what `open_other` takes; each once.

    `random` is the same architecture before its first step: as the run had it, or else from a seed of its own. Raises
    MocoError where another encoder has the name of a row of its own.
    """
    first = _of("this encoder", opened)
    found = [first]
    for one in dict.fromkeys(against):
        match one:
            case "random":
                seed = opened.recipe.seed if opened.recipe else 1  # from seed 0 comes a model that has no weights yet
                about = f"the same architecture, untrained (seed {seed})"
                found.append(_untrained(opened, seed, about))
            case "pixels":
                count = opened.preprocess.channels
                as_is = Normalize(mean=(0.0,) * count, std=(1.0,) * count)
                plain = replace(opened.preprocess, normalize=as_is)
                side = min(plain.size, MOST_PIXELS)
                found.append(
                    Contender("pixels", f"the image itself, {side} x {side} px", plain, Pixels(), trained=False)
                )
            case _ if one != encoder:
                if one in ROWS:
                    raise MocoError(f"--against {one}: a row here is called that; give a path, such as ./{one}")
                found.append(_of(one, open_other(one)))
    return found


def _untrained(opened: Opened, seed: int, about: str) -> Contender:
    def again(number: int) -> nn.Module:
        return opened.untrained(seed + number).eval()

    return Contender("untrained", about, opened.preprocess, again(0), trained=False, again=again)


def _of(name: str, opened: Opened) -> Contender:
    known = (opened.about, opened.preprocess, opened.backbone, opened.whole, opened.recipe)
    return Contender(name, *known, trained=opened.trained)
