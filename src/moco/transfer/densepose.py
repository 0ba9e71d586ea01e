"""DensePose (v1, A.3): weights and a configuration with the papers' settings, for Detectron2 to train.

Its annotations and losses are Detectron2's own, so the training happens there.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from torchvision.models.resnet import Bottleneck

from moco.errors import MocoError
from moco.recipe import Normalize
from moco.run.atomic import trouble_is_told, write_atomically, write_text
from moco.transfer.detectron2 import stage_name
from moco.transfer.parts.stages import resnet_in
from moco.transfer.starts import Start

_CONFIG = """# DensePose R-CNN R{depth}-FPN, s1x, from {name} ({about}).
# Put this file into projects/DensePose/configs of Detectron2 and train there:
#   python train_net.py --config-file configs/{file} --num-gpus 8 MODEL.WEIGHTS {weights}
_BASE_: "Base-DensePose-RCNN-FPN.yaml"
MODEL:
  WEIGHTS: "{weights}"
  PIXEL_MEAN: [{mean}]
  PIXEL_STD: [{std}]
  BACKBONE:
    FREEZE_AT: 0
  RESNETS:
    DEPTH: {depth}
    NORM: "SyncBN"
    STRIDE_IN_1X1: False
  FPN:
    NORM: "SyncBN"
INPUT:
  FORMAT: "RGB"
  MIN_SIZE_TRAIN: (640, 672, 704, 736, 768, 800)
SOLVER:
  IMS_PER_BATCH: 16
  BASE_LR: 0.002
  WARMUP_FACTOR: 0.1
  MAX_ITER: 130000
  STEPS: (100000, 120000)
TEST:
  PRECISE_BN:
    ENABLED: True
"""


def export_densepose(start: Start, out: Path) -> tuple[Path, Path]:
    """Write (weights, configuration) of a start into the folder `out`.

    Raises MocoError where Detectron2 has no such ResNet: it knows depths 50, 101 and 152 of the usual width.
    """
    net = resnet_in(start.backbone(0))
    depth = {16: 50, 33: 101, 50: 152}.get(sum(len(getattr(net, f"layer{i}")) for i in range(1, 5)))
    usual = isinstance(net.layer1[0], Bottleneck) and net.conv1.out_channels == 64 and net.conv1.kernel_size == (7, 7)
    if depth is None or not usual:
        raise MocoError(
            f"--start {start.name} is a {start.architecture.name}; Detectron2's DensePose takes resnet50, "
            "resnet101 and resnet152 of the usual width and stem"
        )
    tensors = {
        stage_name(name): value.numpy()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    content = {"model": tensors, "__author__": "MOCO", "matching_heuristics": True}
    weights, config = out / f"densepose-{start.name}.pkl", out / f"densepose_rcnn_R_{depth}_FPN_moco_s1x.yaml"
    with trouble_is_told(out):
        out.mkdir(parents=True, exist_ok=True)
    write_atomically(weights, lambda file: pickle.dump(content, file))
    mean, std = _pixels(start.normalize)
    words = _CONFIG.format(
        depth=depth,
        name=start.name,
        about=start.about,
        file=config.name,
        weights=weights.resolve(),
        mean=mean,
        std=std,
    )
    write_text(config, words)
    return weights, config


def _pixels(normalize: Normalize) -> tuple[str, str]:
    """Mean and standard deviation in numbers of 0 to 255."""
    mean, std = (", ".join(f"{255 * v:.4g}" for v in values) for values in (normalize.mean, normalize.std))
    return mean, std
