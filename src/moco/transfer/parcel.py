"""What a worker hands over, in one piece: each tensor that crosses to another process alone costs a millisecond there.

The piece lies in memory that both processes see, and is not copied. Sent through the pipe, even a small one could fill
it, and a worker whose main process was killed would wait for ever to be read.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_ALIGNED = 16


@dataclass(frozen=True)
class Parcel:
    """Anything that can be pickled, and beside it the bytes of its tensors."""

    thing: bytes
    tensors: Tensor

    def opened(self) -> Any:
        """What was packed; its tensors are parts of one piece of memory."""
        return _Unpacking(self.thing, self.tensors).load()


def packed(thing: Any) -> Parcel:
    """A thing that holds tensors on the CPU, ready to be sent."""
    packing = _Packing()
    packing.dump(thing)
    whole = torch.empty(packing.size, dtype=torch.uint8)
    for at, tensor in packing.tensors:
        whole[at : at + tensor.nbytes].view(tensor.dtype).copy_(tensor.reshape(-1))
    return Parcel(packing.file.getvalue(), whole)


class _Packing(pickle.Pickler):
    """Puts the place of a tensor where the tensor was."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        super().__init__(self.file, pickle.HIGHEST_PROTOCOL)
        self.size, self.tensors = 0, list[tuple[int, Tensor]]()

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, Tensor):
            return None
        at, self.size = self.size, self.size + -(-thing.nbytes // _ALIGNED) * _ALIGNED
        self.tensors.append((at, thing))
        return at, thing.dtype, tuple(thing.shape)


class _Unpacking(pickle.Unpickler):
    def __init__(self, thing: bytes, whole: Tensor) -> None:
        super().__init__(io.BytesIO(thing))
        self._whole = whole

    def persistent_load(self, name: Any) -> Tensor:
        at, dtype, shape = name
        part: Tensor = self._whole[at : at + math.prod(shape) * dtype.itemsize]
        return part.view(dtype).view(shape)
