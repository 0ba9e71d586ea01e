"""Any encoder, in two lines of Python: a run's, a library's, or one from a file of another library."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from moco.arguments import of_its_types
from moco.backbones import make_backbone, refuse_unknown
from moco.device import seeded
from moco.encoder import Encoder, build_encoder
from moco.errors import MocoError
from moco.foreign.architecture import Architecture
from moco.foreign.containers import Contents, contents
from moco.foreign.exported import settings_of, words_beside
from moco.foreign.files import files_in, holds_weights, read_file, read_folder, read_place
from moco.foreign.open import Backbone, read_backbone
from moco.foreign.prefixes import LISTED, TOLD
from moco.foreign.settings import preprocess_of, refuse_what_shapes_hide, words_of
from moco.ops.whiten import Whitening
from moco.preprocess import Preprocess
from moco.recipe import Normalize, Recipe, channels_of
from moco.recipe.parts import Stem
from moco.recipe.vit import vit_name
from moco.run.directory import RunDirectory, find_run, is_run
from moco.run.encoder_file import FORMAT, read_checkpoint, read_encoder, read_whitening

Kind = Literal["backbone", "head", "whitened"]
"""Which features an encoder gives: the backbone's, the projection head's unit vectors, or the backbone's whitened."""

_LOG = logging.getLogger("moco")
_LIBRARIES = ("torchvision:", "timm:")
_SIZE = 224


@dataclass(frozen=True)
class Opened:
    """An encoder of any origin: images N x 3 x S x S to features N x D, and how to make it again untrained."""

    backbone: nn.Module
    preprocess: Preprocess
    untrained: Callable[[int], nn.Module]
    """The same architecture before its first step, from a seed."""
    about: str
    """What it is, in a few words."""
    whole: nn.Module | None = None
    """With the projection head: images to unit vectors N x C. None where there is no head."""
    run: RunDirectory | None = None
    """The run it belongs to."""
    recipe: Recipe | None = None
    """What it was trained by, where the file says so."""
    trained: bool = True
    """Whether its weights came from anywhere; a library's model without a file has none."""
    name: str = ""
    """Its backbone, as `build_backbone` takes it; empty where no name means exactly this."""
    notes: tuple[str, ...] = ()
    """What there is to say about a file of another library: what was taken, and what left aside."""
    stem: Stem = "imagenet"
    """What it does to images first, where it is a ResNet."""
    channels: int = 3
    """Channels of the images it takes."""
    whitening: Whitening | None = None
    """Of its backbone's features, from images that it was trained on. None where none was kept."""

    def module(self, features: Kind) -> nn.Module:
        """What gives these features of images N x 3 x S x S; raises MocoError where it has none of this kind."""
        match features:
            case "backbone":
                return self.backbone
            case "head" if self.whole is not None:
                return self.whole
            case "whitened" if self.whitening is not None:
                return nn.Sequential(self.backbone, self.whitening)
            case "head":
                raise MocoError(f"{self.about} has no projection head; take the features of its backbone")
            case "whitened":
                raise MocoError(
                    f"{self.about} has no whitened features: they are kept when a run ends; take the backbone's, or go "
                    "on with the run to its end"
                )


@of_its_types()
def load(path: str | os.PathLike[str], features: Kind = "backbone") -> tuple[nn.Module, Preprocess]:
    """An encoder in eval mode, and the preprocessing that belongs to it; `path` is what `open_encoder` takes.

    `preprocess` maps a PIL image or an H x W x 3 uint8 array to a 3 x S x S tensor (of an encoder of other than
    photographs, an array H x W x C of its data set's bands and type); the encoder maps N x 3 x S x S to features N x D:
    the backbone's; with `features="whitened"` the same, moved and turned so that every main axis of the images that it
    was trained on counts alike; with `features="head"` the N x C unit vectors of the projection head. Raises MocoError
    where there are none of this kind. What was taken of a file of another library, and what left aside, is a line of
    the logger `moco`.
    """
    opened = open_encoder(path)
    for note in opened.notes:
        _LOG.warning("%s: %s", path, note)
    return opened.module(features), opened.preprocess


def open_encoder(path: str | os.PathLike[str]) -> Opened:
    """The encoder of a run, an encoder.pt, a library's model, or a file or folder of another library.

    `torchvision:resnet50` is untrained, `torchvision:resnet50=weights.pth` takes its weights from a file; so does
    `timm:NAME`. A file alone is searched for a set of names that one architecture fits completely; `FILE#PREFIX` says
    which where it holds several. `notes` says what was taken and what left aside. Raises MocoError where nothing fits.
    """
    text = os.fspath(path)
    if (model := split_model(text)) is not None:
        return _from_library(*model)
    place = Path(text).expanduser()
    if place.is_dir() and (is_run(place) or not holds_weights(place)):
        run = _run(place)
        if not run.encoder.exists():
            raise MocoError(f"{path} has no encoder yet; it is written with the first checkpoint")
        return _from_run(run.encoder, run)
    place, asked = split_prefix(text)
    if not place.exists():
        raise MocoError(
            f"there is no run, file or model {text}; models are torchvision:NAME[=FILE] or timm:NAME[=FILE]"
        )
    if place.is_dir():
        data, settings = read_folder(place)
        refuse_what_shapes_hide(settings)
        held = contents(data)
        held.words |= words_of(settings) | words_beside(place)
        return _from_file(held, place, asked, settings)
    if place.parent.name == "checkpoints" and is_run(place.parent.parent) and asked is None:
        return _from_checkpoint(place, find_run(place.parent.parent).recipe())
    held = contents(read_file(place))
    if held.words.get("format") == FORMAT and asked is None:
        return _from_run(place, RunDirectory(place.parent) if is_run(place.parent) else None)
    held.words |= words_beside(place)
    return _from_file(held, place, asked)


def split_model(text: str) -> tuple[str, str] | None:
    """(a model as `build_backbone` takes it, its file or nothing) of `torchvision:NAME`, `timm:NAME`, `vitDwWpP=FILE`.

    None for anything else.
    """
    for library in _LIBRARIES:
        if text.startswith(library):
            name, _, file = text.removeprefix("torchvision:").partition("=")
            return name, file
    name, sign, file = text.partition("=")
    return (name, file) if sign and vit_name(name) is not None else None


def split_prefix(text: str) -> tuple[Path, str | None]:
    """`FILE#PREFIX` in its parts; a # in the name of a file that exists is a part of it."""
    whole = Path(text).expanduser()
    file, sign, prefix = text.rpartition("#")
    if whole.exists() or not sign:
        return whole, None
    return Path(file).expanduser(), prefix


def _run(folder: Path) -> RunDirectory:
    if is_run(folder):
        return find_run(folder)
    raise MocoError(
        f"{folder} is not a run directory (it has no recipe.json), nor a Hugging Face model{files_in(folder)}"
    )


def _from_run(file: Path, run: RunDirectory | None) -> Opened:
    encoder, recipe, step = read_encoder(file)
    return replace(_of_recipe(encoder, recipe, step, run), whitening=read_whitening(file))


def _from_checkpoint(file: Path, recipe: Recipe) -> Opened:
    """The query encoder of a checkpoint that a run has kept, such as that of an epoch."""
    encoder, step = read_checkpoint(file, recipe)
    return _of_recipe(encoder, recipe, step, None)


def _of_recipe(encoder: Encoder, recipe: Recipe, step: int, run: RunDirectory | None) -> Opened:
    def untrained(seed: int) -> nn.Module:
        with seeded(seed, torch.device("cpu")):
            made, _ = build_encoder(replace(recipe.encoder, norm_group=None), channels_of(recipe.pixels))
        return made.backbone

    preprocess = Preprocess.of(recipe)
    name, stem = recipe.encoder.backbone, recipe.encoder.stem
    about = f"{name} after {step:,} steps of {recipe.name}"
    return Opened(
        encoder.backbone,
        preprocess,
        untrained,
        about,
        encoder,
        run,
        recipe,
        name=name,
        stem=stem,
        channels=preprocess.channels,
    )


def _from_library(name: str, file: str) -> Opened:
    preprocess = Preprocess(_SIZE, Normalize())
    if (vit := vit_name(name)) is not None:
        preprocess = replace(preprocess, size=vit.side)
    elif name.startswith("timm:"):
        preprocess = _timm_preprocess(name.removeprefix("timm:"))
    architecture = named_architecture(name)
    if not file:
        net = _untrained(architecture, 0)
        about = f"{architecture.about}, untrained"
        return Opened(net, preprocess, partial(_untrained, architecture), about, trained=False, name=name)
    refuse_unknown(name)
    place, asked = split_prefix(file)
    found = read_backbone(contents(read_place(place)), place, asked, architecture)
    return _opened(found, place, preprocess)


def named_architecture(name: str) -> Architecture:
    """The architecture that `build_backbone` calls so."""
    about = name if name.startswith("timm:") or vit_name(name) is not None else f"torchvision:{name}"
    return Architecture(about, partial(make_backbone, name), name)


def _from_file(held: Contents, file: Path, asked: str | None, settings: Mapping[str, Any] | None = None) -> Opened:
    found = read_backbone(held, file, asked)
    name = found.architecture.name or ""
    preprocess = Preprocess(found.architecture.size, Normalize())
    settings = settings or settings_of(held.words)
    if settings:
        preprocess = preprocess_of(settings, preprocess)
    elif found.dialect in (LISTED, TOLD) and name.startswith("timm:"):
        preprocess = _timm_preprocess(name.removeprefix("timm:"))
    return _opened(found, file, preprocess)


def _opened(found: Backbone, file: Path, preprocess: Preprocess) -> Opened:
    architecture = found.architecture
    prefix = f" ({found.prefix}*)" if found.prefix else ""
    return Opened(
        found.net,
        preprocess,
        partial(_untrained, architecture),
        f"{architecture.about} from {file.name}{prefix}",
        name=architecture.name or "",
        notes=found.notes,
        stem=architecture.stem,
        channels=architecture.channels,
    )


def _untrained(architecture: Architecture, seed: int) -> nn.Module:
    with seeded(seed, torch.device("cpu")):
        return architecture.make().eval()


def _timm_preprocess(name: str) -> Preprocess:
    try:
        import timm
    except ImportError:
        return Preprocess(_SIZE, Normalize())  # building the model explains what is missing
    told = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if told is None:
        return Preprocess(_SIZE, Normalize())
    return Preprocess(int(told.input_size[-1]), Normalize(mean=tuple(told.mean), std=tuple(told.std)))
