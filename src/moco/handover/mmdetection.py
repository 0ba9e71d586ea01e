"""mmdetection: the backbone's tensors without a prefix, and a configuration that initialises from them."""

from __future__ import annotations

from pathlib import Path

from moco.handover.architecture import IMAGENET, ResNet
from moco.handover.openmmlab import CONFIG, FILE, no_such_resnet, numbers, pixel_words, reading, write_config
from moco.handover.parcel import Exported, Parcel
from moco.run.tensors import write_tensors


def obstacle(parcel: Parcel) -> str | None:
    """MMDetection's ResNets have the stem of the paper."""
    a = parcel.architecture
    if isinstance(a, ResNet) and a.stem != IMAGENET and parcel.head is None:
        return f"MMDetection's ResNets begin with a {IMAGENET.words}, not a {a.stem.words}"
    return no_such_resnet(parcel, "MMDetection")


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pth and config.py: RGB pixels with their mean and deviation, stride in the 3x3 convolution, SyncBN."""
    a = parcel.architecture
    assert isinstance(a, ResNet)
    write_tensors(folder / FILE, {"meta": {}, "state_dict": parcel.tensors()})
    model = {
        "data_preprocessor": {**pixel_words(parcel), "bgr_to_rgb": True},
        "backbone": {
            "type": "ResNet" if a.groups == 1 else "ResNeXt",
            **numbers(a, "base_width"),
            "style": "pytorch",
            "frozen_stages": -1,
            "norm_cfg": {"type": "SyncBN", "requires_grad": True},
            "norm_eval": False,
            "init_cfg": {"type": "Pretrained", "checkpoint": FILE},
        },
    }
    write_config(folder, "MMDetection", model)
    usage = f'_base_ = ["your_detector.py", "{CONFIG}"] in an MMDetection configuration; checkpoint: the path of {FILE}'
    return Exported(FILE, "a reading of MMDetection's format", reading(folder, ""), usage)
