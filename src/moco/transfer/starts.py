"""What fine-tuning starts from: encoders of any origin, and the same architecture untrained."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from moco.data.decide import Decided
from moco.data.said import in_words
from moco.errors import MocoError
from moco.recipe import Normalize, Pixels, channels_of
from moco.run.load import Opened, open_encoder
from moco.transfer.model_file import Architecture
from moco.transfer.parts.stages import name_of, resnet_in

RANDOM = "random"


@dataclass(frozen=True)
class Start:
    """A start by name; `backbone` gives fresh weights of it for a seed."""

    name: str
    """In tables and as the name of a folder."""
    about: str
    opened: Opened
    random: bool
    architecture: Architecture

    @property
    def normalize(self) -> Normalize:
        """How its images are normalised."""
        return self.opened.preprocess.normalize

    @property
    def pixels(self) -> Pixels | None:
        """What its images are made of; None: photographs."""
        return self.opened.preprocess.pixels

    def backbone(self, seed: int) -> nn.Module:
        """A copy to be trained: of an untrained one, the weights are those of the seed."""
        net = self.opened.untrained(seed) if self.random else copy.deepcopy(self.opened.backbone)
        return net.requires_grad_(True)


def open_starts(names: Sequence[str], backbone: str, made: Decided | None = None) -> list[Start]:
    """The starts by what the command line calls them: `random`, or what `moco.load` takes; each once.

    `random` has the architecture and the images of the first other start; alone, those of `backbone` and `made`. Raises
    MocoError where a start cannot be opened or is no ResNet.
    """
    unique = list(dict.fromkeys(names))
    opened = {name: open_encoder(name) for name in unique if name != RANDOM}
    for name, one in opened.items():
        if one.channels != one.preprocess.channels:
            raise MocoError(
                f"--start {name}: it takes images of {one.channels} channels and does not say how they are prepared; "
                "continue it with moco pretrain --init on images of these bands, and start from that run"
            )
        try:
            resnet_in(one.backbone)
        except MocoError as error:
            raise MocoError(f"--start {name}: {error}") from None
    like = next(iter(opened.values()), None) or _untrained(backbone, made)
    found: list[Start] = []
    for name in unique:
        one = like if name == RANDOM else opened[name]
        about = f"untrained {name_of(resnet_in(like.backbone))[0]}" if name == RANDOM else one.about
        architecture = Architecture(*name_of(resnet_in(one.backbone)))
        shown = _short(name, {start.name for start in found})
        found.append(Start(shown, about, one, name == RANDOM or not one.trained, architecture))
    return found


def read_in_words(starts: Sequence[Start]) -> list[str]:
    """How images are read for each start, where it is otherwise than as photographs for all."""
    ways: dict[str, list[str]] = {}
    for one in starts:
        ways.setdefault(in_words(one.pixels), []).append(one.name)
    if all(one.pixels is None for one in starts):
        return []
    shown = {way: f" for {', '.join(names)}" if len(ways) > 1 else "" for way, names in ways.items()}
    return [f"images are read as {way}{names}" for way, names in shown.items()]


def _untrained(backbone: str, made: Decided | None) -> Opened:
    import torch

    from moco.backbones import build_backbone
    from moco.device import seeded  # a name such as resnet18w16 is no file: it is made here
    from moco.preprocess import Preprocess

    pixels, normalize = (None, None) if made is None else (made.pixels, made.normalize)

    def untrained(seed: int) -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            return build_backbone(backbone, channels=channels_of(pixels))[0].eval()

    return Opened(untrained(0), Preprocess(224, normalize or Normalize(), pixels), untrained, backbone, trained=False)


def _short(name: str, taken: set[str]) -> str:
    """A name for a folder: the last parts of a path that say something."""
    path = Path(name)
    plain = path.parent.name if path.name in ("encoder.pt", "model.pt") else path.name
    word = re.sub(r"[^A-Za-z0-9._+-]+", "-", plain.split("=")[-1]).strip("-.") or "start"
    number, tried = 2, word
    while tried in taken:
        tried, number = f"{word}-{number}", number + 1
    return tried
