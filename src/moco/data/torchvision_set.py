"""Any image data set that torchvision knows: `torchvision:CIFAR10`, `torchvision:STL10:unlabeled`."""

from __future__ import annotations

import difflib
import inspect
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moco.data.cache import cache_folder
from moco.data.names import number_of
from moco.data.pillow_file import image_pixels
from moco.data.source import Hints, Unreadable
from moco.errors import MocoError

_TARGETS = ("targets", "labels", "_labels", "y")


class TorchvisionSet:
    """One split of a torchvision data set, under $TORCHVISION_DATA or ~/.cache/moco/torchvision; fetched if missing."""

    hints = Hints()

    def __init__(self, set_name: str, split: str = "train") -> None:
        self.set_name, self.split = set_name, split
        self._where = f"--data torchvision:{set_name}:{split}"
        self._set: Any = self._open(may_download=True)
        try:
            self._count = len(self._set)
            self.raw(0)
        except (TypeError, IndexError, KeyError, Unreadable) as error:
            raise MocoError(f"{self._where}: its items are not images ({error}); name another data set") from None
        self.labels = _labels(self._set)
        self.description = f"torchvision {set_name} ({split}), {number_of(self._count, 'image')}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_set": None}  # workers read the files again rather than be sent their contents

    def __len__(self) -> int:
        return self._count

    def name(self, i: int) -> str:
        """The data set, split and row."""
        return f"{self.set_name} {self.split} row {i}"

    def raw(self, i: int) -> NDArray[np.uint8]:
        """The pixels, H x W x 3; raises Unreadable."""
        from PIL import Image

        if self._set is None:
            self._set = self._open(may_download=False)
        try:
            item = self._set[i]
            image = item[0] if isinstance(item, tuple | list) else item
            if isinstance(image, Image.Image):
                return image_pixels(image)
        except (OSError, ValueError, SyntaxError) as error:
            raise Unreadable(f"torchvision cannot read it: {error}") from None
        raise Unreadable(f"torchvision gives a {type(image).__name__}, not an image")

    def label(self, i: int) -> str | None:
        """The name of the class, or its number where torchvision has no names."""
        return None if self.labels is None else self.labels[i]

    def _open(self, *, may_download: bool) -> Any:
        """The data set from its files; where they are missing, torchvision is asked once to download them."""
        kind = _find(self.set_name)
        parameters = inspect.signature(kind).parameters
        options: dict[str, Any] = {}
        if "root" in parameters:
            options["root"] = str(_root())
        if "train" in parameters:
            if self.split not in ("train", "test"):
                raise MocoError(f"{self._where}: this data set has the splits train and test")
            options["train"] = self.split == "train"
        elif "split" in parameters:
            options["split"] = self.split
        elif self.split != "train":
            raise MocoError(f"{self._where}: this data set has no splits; leave out :{self.split}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's files trip over deprecations of NumPy's
            try:
                return kind(**options)
            except Exception as error:  # each data set raises what it likes
                if not may_download or "download" not in parameters:
                    raise self._refusal(error) from None
            try:
                _root().mkdir(parents=True, exist_ok=True)
                return kind(**options, download=True)
            except Exception as error:  # no network, a site that has moved, a wrong split, a missing package
                raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> MocoError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return MocoError(
            f"{self._where}: torchvision cannot open it ({reason[:300]}); put its files into {_root()}, "
            "or set TORCHVISION_DATA to the folder that has them"
        )


def _root() -> Path:
    given = os.environ.get("TORCHVISION_DATA")
    return Path(given).expanduser() if given else cache_folder("torchvision")


def _find(set_name: str) -> Callable[..., Any]:
    """The class of this name in torchvision.datasets."""
    from torchvision import datasets

    known = [name for name in datasets.__all__ if inspect.isclass(getattr(datasets, name))]
    if set_name in known:
        kind: Callable[..., Any] = getattr(datasets, set_name)
        return kind
    lowered = {name.lower(): name for name in known}
    close = [lowered[name] for name in difflib.get_close_matches(set_name.lower(), lowered, n=3)]
    meant = f"did you mean {' or '.join(close)}?" if close else "such as torchvision:CIFAR10"
    raise MocoError(f"--data torchvision:{set_name}: torchvision has no data set of this name; {meant}")


def _labels(dataset: Any) -> list[str] | None:
    """The class of each image, from wherever this data set keeps it; None where it keeps none or has no names."""
    for attribute in _TARGETS:
        targets = getattr(dataset, attribute, None)
        if targets is not None and len(targets) == len(dataset):
            numbers = np.asarray(targets)
            if numbers.ndim == 1 and numbers.dtype.kind in "iu" and numbers.min() >= 0:
                classes = getattr(dataset, "classes", None) or ()
                fits = len(classes) > int(numbers.max())
                return [str(classes[t]) if fits else str(t) for t in numbers.tolist()]
    return None
