"""mmpretrain: the backbone's tensors under `backbone.`, and a configuration that initialises from them."""

from __future__ import annotations

from pathlib import Path

from moco.handover.architecture import IMAGENET, ResNet, Stem
from moco.handover.openmmlab import CONFIG, FILE, no_such_resnet, numbers, pixel_words, reading, write_config
from moco.handover.parcel import Exported, Parcel
from moco.run.tensors import write_tensors

_CIFAR = Stem(kernel=3, stride=1, pooled=False)


def obstacle(parcel: Parcel) -> str | None:
    """MMPretrain has the stem of the paper, and ResNet_CIFAR's."""
    a = parcel.architecture
    if isinstance(a, ResNet) and parcel.head is None:
        if a.stem not in (IMAGENET, _CIFAR):
            return f"MMPretrain's ResNets begin with a {IMAGENET.words} or a {_CIFAR.words}, not a {a.stem.words}"
        if a.stem == _CIFAR and a.groups > 1:
            return "MMPretrain's ResNet_CIFAR has no groups"
    return no_such_resnet(parcel, "MMPretrain")


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pth and config.py."""
    a = parcel.architecture
    assert isinstance(a, ResNet)
    tensors = parcel.tensors(prefix="backbone.")
    write_tensors(folder / FILE, {"meta": {}, "state_dict": tensors})
    kind = "ResNet_CIFAR" if a.stem == _CIFAR else "ResNet" if a.groups == 1 else "ResNeXt"
    width = a.width * 8 * (4 if a.block == "bottleneck" else 1)
    model = {
        "type": "ImageClassifier",
        "data_preprocessor": {**pixel_words(parcel), "to_rgb": True},
        "backbone": {
            "type": kind,
            **numbers(a, "width_per_group"),
            "style": "pytorch",
            "init_cfg": {"type": "Pretrained", "checkpoint": FILE, "prefix": "backbone"},
        },
        "neck": {"type": "GlobalAveragePooling"},
        "head": {"type": "LinearClsHead", "num_classes": 1000, "in_channels": width},
    }
    write_config(folder, "MMPretrain", model)
    usage = (
        f'_base_ = ["{CONFIG}"] in an MMPretrain configuration, with num_classes of your own; '
        f"checkpoint: the path of {FILE}"
    )
    return Exported(FILE, "a reading of MMPretrain's format", reading(folder, "backbone."), usage)
