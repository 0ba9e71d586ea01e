"""Files of tensors and plain data: written whole or not at all, read without running code."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from moco.errors import MocoError
from moco.foreign.files import refuse_damage
from moco.run.atomic import write_atomically


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Replace a file of tensors; on a full disk the old one stays, and MocoError says so."""
    buffer = io.BytesIO()  # torch.save into a file hides a full disk behind an error of its own
    torch.save(content, buffer)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def read_tensors(path: Path) -> dict[str, Any]:
    """A file of tensors and plain data, onto the CPU; raises MocoError where it is missing, broken or unsafe."""
    try:
        refuse_damage(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice about files that are none of its own
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MocoError(f"there is no file {path}") from None
    except pickle.UnpicklingError:  # torch's own words advise to run whatever code is in the file
        raise MocoError(f"{path} is damaged, or holds more than tensors and plain data; it is not opened") from None
    except Exception as error:  # bytes that are no pickle fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:200]
        raise MocoError(f"{path} is damaged or not a file of tensors: {reason}") from None
    if not isinstance(content, dict):
        raise MocoError(f"{path} holds a {type(content).__name__}, not named tensors")
    return content
