"""huggingface: a folder that AutoModel and AutoImageProcessor open, with a model card.

A ResNet that transformers knows becomes its ResNetModel, a model of timm its TimmWrapperModel with the preprocessing of
timm; anything else brings the few lines that build it (`trust_remote_code=True`).
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import Tensor

from moco.handover.absent import needs, version
from moco.handover.architecture import IMAGENET, Model, ResNet, Unnamed
from moco.handover.card import write_card
from moco.handover.image_processor import SETTINGS, write_image_processor
from moco.handover.lines import head_source, timm_lines, torchvision_lines
from moco.handover.parcel import Exported, Parcel
from moco.handover.safetensors import metadata, write_safetensors
from moco.handover.timm import pretrained_cfg
from moco.quiet import quietly
from moco.run.atomic import write_text

WEIGHTS = "model.safetensors"
CODE = "modeling_encoder.py"
PLACE = "FOLDER"
"""Stands in the card for where the folder is, until it has a name on the hub."""


def obstacle(parcel: Parcel) -> str | None:
    """It holds any network that can be built from torchvision or timm."""
    if isinstance(parcel.architecture, Unnamed):
        return f"transformers, torchvision and timm do not build {parcel.architecture.words}"
    if parcel.head is not None and head_source(parcel.head) is None:
        return "this projection head is not made of linear layers, BatchNorm and ReLU"
    return None


def write(parcel: Parcel, folder: Path) -> Exported:
    """config.json, model.safetensors, how images are prepared, and README.md."""
    needs("the huggingface format", "safetensors", "transformers")
    a = parcel.buildable
    native = isinstance(a, ResNet) and a.stem == IMAGENET and (a.groups, a.group_width) == (1, 64)
    if isinstance(a, Model) and a.library == "timm" and parcel.head is None:
        _write_timm(parcel, a, folder)
    else:
        write_image_processor(folder, parcel)
        if native and parcel.head is None:
            _write_native(parcel, a, folder)
        else:
            _write_with_code(parcel, folder)
    usage = "\n".join(usage_lines(PLACE, folder))
    write_card(folder / "README.md", parcel, usage)
    return _opened(parcel, folder, usage)


def usage_lines(where: str, folder: Path) -> list[str]:
    """How the folder is used, once it lies at `where`."""
    native, by_timm = not (folder / CODE).exists(), not (folder / SETTINGS).exists()
    trust = ", trust_remote_code=True"
    without = "  # without: on some sizes the square begins a pixel earlier" if native and not by_timm else ""
    image = 'image.convert("RGB")' if by_timm else "image"
    return [
        "from transformers import AutoImageProcessor, AutoModel",
        "",
        f'processor = AutoImageProcessor.from_pretrained("{where}"{"" if by_timm else trust}){without}',
        f'model = AutoModel.from_pretrained("{where}"{"" if native else trust}).eval()',
        f'features = model(**processor({image}, return_tensors="pt")).pooler_output.flatten(1)',
    ]


def native_name(name: str) -> str:
    """A tensor's name in torchvision's ResNet to its name in transformers' ResNetModel."""
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name):
        at, rest = f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.", match[3]
        rest = re.sub(r"^conv(\d)", lambda m: f"layer.{int(m[1]) - 1}.convolution", rest)
        rest = re.sub(r"^bn(\d)", lambda m: f"layer.{int(m[1]) - 1}.normalization", rest)
        rest = rest.replace("downsample.0", "shortcut.convolution").replace("downsample.1", "shortcut.normalization")
        return at + rest
    return name.replace("conv1", "embedder.embedder.convolution").replace("bn1", "embedder.embedder.normalization")


def _write_native(parcel: Parcel, a: Any, folder: Path) -> None:
    expansion = 4 if a.block == "bottleneck" else 1
    config = {
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": a.stem.bands,
        "embedding_size": a.width,
        "hidden_sizes": [(a.width << stage) * expansion for stage in range(4)],
        "depths": list(a.depths),
        "layer_type": a.block,
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "dtype": "float32",
    }
    _write_json(folder / "config.json", config)
    tensors = {native_name(name): t for name, t in parcel.tensors().items()}
    write_safetensors(folder / WEIGHTS, tensors, metadata(parcel))


def _write_timm(parcel: Parcel, a: Model, folder: Path) -> None:
    config = {
        "architecture": a.name,
        "num_classes": 0,
        "num_features": int(getattr(parcel.opened.backbone, "num_features", 0)),
        "pretrained_cfg": pretrained_cfg(parcel) | {"tag": "moco"},
        "model_type": "timm_wrapper",
    }
    config |= {"model_args": dict(a.options)} if a.options else {}
    _write_json(folder / "config.json", config)
    write_safetensors(folder / WEIGHTS, parcel.tensors(), metadata(parcel))


def _write_with_code(parcel: Parcel, folder: Path) -> None:
    a = parcel.buildable
    build = timm_lines(a) if isinstance(a, Model) and a.library == "timm" else torchvision_lines(a)
    imports = [line for line in build if line.startswith(("import ", "from "))]
    rest = [f"        {line}" for line in build if line and line not in imports]
    tensors = {f"net.{k}": t for k, t in parcel.tensors(every_buffer=True).items()}
    head = head_source(parcel.head) if parcel.head is not None else None
    if head is not None and parcel.head is not None:
        source = head if head.startswith("nn.Sequential") else f"nn.Sequential({head})"
        head = f"        self.head = {source}\n"
        tensors |= {f"head.{k}": t.detach().contiguous() for k, t in parcel.head.state_dict().items()}
        imports = sorted({*imports, "from torch import nn"})
    text = _CODE.format(
        imports="\n".join(imports),
        build="\n".join(rest),
        head=head or "",
        project="nn.functional.normalize(self.head(features), dim=1)" if head else "None",
    )
    write_text(folder / CODE, text)
    config = {
        "architectures": ["EncoderModel"],
        "model_type": "moco_encoder",
        "auto_map": {"AutoConfig": "modeling_encoder.EncoderConfig", "AutoModel": "modeling_encoder.EncoderModel"},
        "dtype": "float32",
    }
    _write_json(folder / "config.json", config)
    write_safetensors(folder / WEIGHTS, tensors, metadata(parcel))


_CODE = '''"""The encoder: images N x 3 x S x S to features N x D (`pooler_output`)."""

from dataclasses import dataclass

import torch
{imports}
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


def build():
    with torch.device("cpu"):  # some models compute with numbers while they are made
{build}
    for module in net.modules():
        module._non_persistent_buffers_set.clear()  # the file has all, and from_pretrained fills in no other
    return net


@dataclass
class EncoderOutput(ModelOutput):
    pooler_output: torch.Tensor | None = None
    projections: torch.Tensor | None = None


class EncoderConfig(PretrainedConfig):
    model_type = "moco_encoder"


class EncoderModel(PreTrainedModel):
    config_class = EncoderConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.net = build()
{head}        self.post_init()

    def forward(self, pixel_values, **kwargs):
        features = self.net(pixel_values)
        return EncoderOutput(pooler_output=features, projections={project})
'''


def _opened(parcel: Parcel, folder: Path, usage: str) -> Exported:
    with _own_code_only():
        from transformers import AutoImageProcessor, AutoModel

        code = (folder / CODE).exists()
        model = AutoModel.from_pretrained(folder, trust_remote_code=code, local_files_only=True).eval()
        code = (folder / SETTINGS).exists()
        processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=code, local_files_only=True)

    @torch.no_grad()
    def again(pixels: Tensor) -> list[Tensor]:
        found = model(pixel_values=parcel.normalised(pixels))
        features = found.pooler_output.flatten(1)
        return [features] if parcel.head is None else [features, found.projections]

    def prepared(image: PIL.Image.Image) -> Tensor:
        given: Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
        return given

    return Exported(".", version("transformers"), again, usage, prepared=prepared)


@contextmanager
def _own_code_only() -> Iterator[None]:
    """Without progress bars and advice; copies of the code it brings go to a folder that is removed."""
    from transformers import dynamic_module_utils

    cache = dynamic_module_utils.HF_MODULES_CACHE
    with tempfile.TemporaryDirectory() as own, quietly():
        dynamic_module_utils.HF_MODULES_CACHE = own
        try:
            yield
        finally:
            dynamic_module_utils.HF_MODULES_CACHE = cache


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
