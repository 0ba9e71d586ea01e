"""torchvision: a state dict under torchvision's own names."""

from __future__ import annotations

from pathlib import Path

from moco.handover.absent import version
from moco.handover.architecture import Model, Unnamed
from moco.handover.lines import classifier_place, head_source, torchvision_lines, versioned
from moco.handover.loadfile import opened_by_load, outputs_of, write_load
from moco.handover.parcel import Exported, Parcel
from moco.run.tensors import write_tensors

FILE = "encoder.pth"


def obstacle(parcel: Parcel) -> str | None:
    """Models of timm are not built by torchvision; what is not said of a network cannot be built."""
    a = parcel.architecture
    if isinstance(a, Model) and a.library != "torchvision":
        return f"torchvision has no {a.name}"
    if isinstance(a, Unnamed):
        return f"torchvision does not build {a.words}"
    if (why := versioned(a)) is not None:
        return why
    if parcel.head is not None and head_source(parcel.head) is None:
        return "this projection head is not made of linear layers, BatchNorm and ReLU"
    return None


def write(parcel: Parcel, folder: Path) -> Exported:
    """encoder.pth, and load.py that builds the network by torchvision alone."""
    place = classifier_place(parcel.buildable) if parcel.head is not None else None
    write_tensors(folder / FILE, parcel.tensors(head=place))
    source = head_source(parcel.head) if parcel.head is not None else None
    lines = [
        "from pathlib import Path",
        "",
        "import torch",
        *torchvision_lines(parcel.buildable, source),
        f'net.load_state_dict(torch.load(Path(__file__).with_name("{FILE}"), weights_only=True))',
        "net.eval()",
    ]
    usage = write_load(folder, f"net: images N x 3 x {parcel.size} x {parcel.size} to features, by torchvision.", lines)
    return Exported(FILE, version("torchvision"), outputs_of(opened_by_load(folder), parcel, place), usage)
