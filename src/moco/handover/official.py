"""official: a checkpoint that the official main_lincls.py takes as --pretrained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from moco.handover.architecture import IMAGENET, Model, ResNet, Unnamed
from moco.handover.lines import classifier_place
from moco.handover.parcel import Exported, Parcel
from moco.recipe import Normalize
from moco.run.tensors import read_tensors, write_tensors

FILE = "checkpoint.pth.tar"
_QUERY = "module.encoder_q."


def obstacle(parcel: Parcel) -> str | None:
    """The script builds `models.ARCH()` of torchvision and expects its classifier to be called fc."""
    a = parcel.architecture
    match a:
        case ResNet(standard=str(name)):
            if a.stem != IMAGENET:
                return f"main_lincls.py builds {name} with a {IMAGENET.words}, not with a {a.stem.words}"
        case ResNet():
            return f"main_lincls.py builds models of torchvision by name, which has none for {a.words}"
        case Unnamed() | Model(library="timm"):
            return f"main_lincls.py builds models of torchvision, not {a.words}"
        case Model() if classifier_place(a) != "fc":
            return f"main_lincls.py expects a classifier called fc, and {a.words} calls it {classifier_place(a)}"
        case Model() if beyond := _beyond(a, parcel):
            return f"main_lincls.py builds {a.words} with more than this encoder has ({beyond})"
    if parcel.head is not None and not all(isinstance(m, nn.Linear | nn.ReLU) for m in parcel.head):
        return "main_moco.py's heads are linear layers and ReLU, and this one has others"
    return None


def _beyond(a: Model, parcel: Parcel) -> str:
    """A tensor of torchvision's model as the script builds it that is neither the encoder's nor fc's; "": none."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GoogLeNet, that its initial weights will be others one day
        theirs = models.get_model(a.name, weights=None).state_dict()
    ours = parcel.opened.backbone.state_dict()
    return next((name for name in theirs if name not in ours and not name.startswith("fc.")), "")


def write(parcel: Parcel, folder: Path) -> Exported:
    """checkpoint.pth.tar: epoch, arch and state_dict, as main_moco.py writes them; without key encoder and queue."""
    a = parcel.buildable
    arch = a.standard if isinstance(a, ResNet) else a.name
    assert arch is not None
    recipe = parcel.opened.recipe
    tensors = {f"{_QUERY}{k}": v for k, v in parcel.tensors(head="fc").items()}
    content = {"epoch": recipe.epochs if recipe is not None else 0, "arch": arch, "state_dict": tensors}
    write_tensors(folder / FILE, content)
    usage = f"python main_lincls.py --arch {arch} --pretrained {FILE} --lr 30.0 --batch-size 256 IMAGENET"
    notes = () if parcel.opened.preprocess.normalize == Normalize() else (_OTHER_PIXELS,)
    again = _as_main_lincls(folder / FILE, parcel)
    return Exported(FILE, "a reading of main_lincls.py", again, usage, notes=notes)


_OTHER_PIXELS = (
    "main_lincls.py normalises with ImageNet's mean and deviation, written in its code; put this encoder's there "
    "(export.json)"
)


def _as_main_lincls(file: Path, parcel: Parcel) -> Callable[[Tensor], list[Tensor]]:
    """What the script does with --pretrained: torchvision's model, filled with all of the query encoder but fc."""
    checkpoint = read_tensors(file)
    net: nn.Module = models.get_model(checkpoint["arch"], weights=None)
    query = {k.removeprefix(_QUERY): v for k, v in checkpoint["state_dict"].items() if k.startswith(_QUERY)}
    missing, unexpected = net.load_state_dict({k: v for k, v in query.items() if not k.startswith("fc")}, strict=False)
    assert set(missing) == {"fc.weight", "fc.bias"}
    assert not unexpected
    net.set_submodule("fc", nn.Identity())
    net.eval()

    @torch.no_grad()
    def again(pixels: Tensor) -> list[Tensor]:
        features = net(parcel.normalised(pixels))
        if parcel.head is None:
            return [features]
        kept = {k.removeprefix("fc."): v for k, v in query.items() if k.startswith("fc.")}
        return [features, F.normalize(_projected(features, kept), dim=1)]

    return again


def _projected(features: Tensor, fc: dict[str, Tensor]) -> Tensor:
    """main_moco.py's fc: one linear layer, or two with ReLU between (--mlp)."""
    if "weight" in fc:
        return F.linear(features, fc["weight"], fc["bias"])
    return F.linear(F.relu(F.linear(features, fc["0.weight"], fc["0.bias"])), fc["2.weight"], fc["2.bias"])
