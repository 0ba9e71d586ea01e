"""One's own functions that are called while a run goes on: `moco.pretrain(..., watch=[function])`."""

from __future__ import annotations

import inspect
import math
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from moco import distributed
from moco.device import seeded
from moco.encoder import Encoder
from moco.errors import MocoError
from moco.preprocess import Preprocess
from moco.training import Training

Numbers = Mapping[str, float] | None
"""What a function has found, by name; or nothing."""


@dataclass(frozen=True)
class Moment:
    """Where a run is when a function of `watch` is called."""

    step: int
    """Steps done; 0 before the first."""
    steps: int
    """Of the whole run."""
    epoch: int
    """Epochs done."""
    encoder: Encoder
    """The query encoder, in eval mode: images N x C x S x S to unit vectors; `.backbone` gives features."""
    preprocess: Preprocess
    """Maps an image to what the encoder takes, as `moco.load` gives it."""
    device: torch.device
    """Where the encoder is."""
    out: Path
    """The run directory."""


Function = Callable[[Moment], Numbers]
"""A function of `watch`."""

Watched = str | os.PathLike[str] | Function
"""What `watch` may name: labelled images, or a function."""

_TAKEN = ("step", "epoch", "loss", "knn", "rank", "alignment", "uniformity", "spread")
"""Names that rows of the log have already."""


def sorted_out(
    watch: Watched | Sequence[Watched] | None,
) -> tuple[str | os.PathLike[str] | None, tuple[Function, ...]]:
    """The labelled images that `watch` names, and its functions; raises MocoError for what is neither."""
    several = isinstance(watch, Sequence) and not isinstance(watch, str)
    asked: Sequence[Any] = () if watch is None else watch if several else (watch,)  # type: ignore[assignment]
    images: list[str | os.PathLike[str]] = []
    functions: list[Function] = []
    for one in asked:
        if isinstance(one, str | os.PathLike):
            images.append(one)
        elif callable(one) and _takes_one(one):
            functions.append(one)
        else:
            raise MocoError(
                f"watch has {one!r:.60}, which is neither labelled images nor a function of one argument; give a "
                "path, or a function that takes a moco.Moment and returns a dict of numbers or None"
            )
    if len(images) > 1:
        raise MocoError(f"watch names labelled images {len(images)} times ({', '.join(map(str, images))}); name one")
    return (images[0] if images else None), tuple(functions)


class Watcher:
    """A function of `watch`, called on the main process so that nothing of it changes the run or ends it.

    The encoder is in eval mode and without gradients, torch's generators are as they were afterwards, and an exception
    is told in one line; the function is then left out for the rest of the run. `KeyboardInterrupt` ends the run.
    """

    def __init__(
        self, function: Function, steps: int, preprocess: Preprocess, device: torch.device, out: Path,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._function: Function | None = function
        self._name = getattr(function, "__qualname__", None) or type(function).__name__
        self._steps, self._preprocess, self._device, self._out, self._note = steps, preprocess, device, out, note

    def __call__(self, encoder: Encoder, step: int, epoch: int) -> dict[str, float]:
        """What the function found at this step; nothing where it has failed."""
        return distributed.main_alone(lambda: self._call(encoder, step, epoch))

    def _call(self, encoder: Encoder, step: int, epoch: int) -> dict[str, float]:
        if self._function is None:
            return {}
        moment = Moment(step, self._steps, epoch, encoder, self._preprocess, self._device, self._out)
        training = [(module, module.training) for module in encoder.modules()]
        gradients = [p.requires_grad for p in encoder.parameters()]
        try:
            encoder.eval()
            with seeded(step, self._device), torch.no_grad():
                return self._numbers(self._function(moment))
        except Exception as error:
            self._function = None
            self._note(f"watch: {self._name} failed at step {step} ({_words(error)}); the run goes on without it")
            return {}
        finally:
            for module, was in training:
                module.training = was
            for p, needed in zip(encoder.parameters(), gradients, strict=True):
                p.requires_grad_(needed)

    def _numbers(self, found: Any) -> dict[str, float]:
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            raise TypeError(f"it returned a {type(found).__name__}; return a dict of numbers by name, or None")
        taken = [name for name in found if not isinstance(name, str) or name in _TAKEN]
        if taken:
            raise ValueError(f"it returned {taken[0]!r}, a name that the log has already; choose another")
        numbers = {name: float(value) for name, value in found.items()}
        return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _words(error: Exception) -> str:
    """The exception and where in whose file, in one line."""
    said = " ".join(str(error).split())[:160]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    where = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {said}{where}" if said else f"{type(error).__name__}{where}"


def _takes_one(function: Function) -> bool:
    """Whether a function can be called with one argument."""
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return False
    except ValueError:  # of C, without a signature
        return True
    return True


def watchers(
    functions: Sequence[Function],
    training: Training,
    steps: int,
    preprocess: Preprocess,
    out: Path,
    note: Callable[[str], None],
) -> list[Callable[[Encoder], dict[str, float]]]:
    """The functions as the loop calls them, each at the step the training is at."""

    def bound(watcher: Watcher) -> Callable[[Encoder], dict[str, float]]:
        return lambda encoder: watcher(encoder, training.step, training.step // training.steps_per_epoch)

    return [bound(Watcher(one, steps, preprocess, training.placement.device, out, note)) for one in functions]
