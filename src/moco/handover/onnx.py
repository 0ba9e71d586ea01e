"""onnx: a graph for onnxruntime and everything else that reads ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moco.errors import MocoError
from moco.handover.absent import needs, version
from moco.handover.deployed import other_size, taken_words, traced
from moco.handover.loadfile import opened_by_load, write_load
from moco.handover.parcel import Exported, Parcel
from moco.handover.safetensors import metadata
from moco.run.atomic import write_atomically

FILE = "encoder.onnx"
OPSET = 20
_LARGEST = 2**31 - 2**20
"""Bytes of a protobuf file."""


def obstacle(parcel: Parcel) -> str | None:
    """One file holds less than 2 GiB."""
    size = sum(t.numel() * t.element_size() for t in parcel.tensors().values())
    return None if size < _LARGEST else f"an ONNX file holds 2 GiB, and this encoder is {size / 2**30:.1f}"


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.onnx: any number of images, and any size where the network takes any; facts in its metadata."""
    needs("the onnx format", "onnx", "onnxscript", "onnxruntime")
    net, program, any_size = traced(parcel)
    names = ["features"] if parcel.head is None else ["features", "projections"]
    batch = {0: "images", **({1: "height", 2: "width"} if parcel.pixels else {2: "height", 3: "width"})}
    try:
        with _quiet():
            made = torch.onnx.export(
                program, input_names=["images"], output_names=names, opset_version=OPSET, dynamo=True, verbose=False
            )
            assert made is not None
            model = made.model_proto
    except Exception as error:  # an operation that has no ONNX form raises one of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(f"{parcel.architecture.words} has no ONNX form: {reason}; take torch-export") from None
    for axis, dimension in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if dimension.dim_param:
            _rename_(model, dimension.dim_param, batch[axis])
    told = metadata(parcel) | {"format": "onnx", "takes": taken_words(parcel, any_size)}
    for key, value in told.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    write_atomically(folder / FILE, lambda file: file.write(content))
    return _opened(parcel, folder, any_size, names, lambda pixels: net.inputs(parcel, pixels))


def _opened(
    parcel: Parcel, folder: Path, any_size: bool, names: list[str], inputs: Callable[[Tensor], Tensor]
) -> Exported:
    import onnx

    onnx.checker.check_model(folder / FILE)
    lines = [
        "from pathlib import Path",
        "",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession(Path(__file__).with_name("{FILE}"))',
        f"# images are {taken_words(parcel, any_size)}",
        f'# {", ".join(names) if len(names) > 1 else "features,"} = session.run(None, {{"images": images}})',
    ]
    usage = write_load(folder, "session: images to features.", lines)
    session = opened_by_load(folder, "session")

    def again(pixels: Tensor) -> list[Tensor]:
        return [torch.from_numpy(out) for out in session.run(None, {"images": inputs(pixels).numpy()})]

    other = other_size(parcel) if any_size else None
    return Exported(FILE, version("onnxruntime"), again, usage, other_size=other)


def _rename_(model: Any, old: str, new: str) -> None:
    """A dimension that the exporter numbered gets a name, wherever it stands."""
    graph = model.graph
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == old:
                dimension.dim_param = new


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter prints its progress and warns about its own parts."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
