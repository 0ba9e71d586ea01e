"""The lines of Python that build a backbone from a library's own parts, without this program."""

from __future__ import annotations

from torch import nn
from torchvision import models

from moco.backbones import classifier_name
from moco.handover.architecture import IMAGENET, Buildable, Model, ResNet, Stem

_QUIET = {name: {"aux_logits": False, "init_weights": False} for name in ("googlenet", "inception_v3")}
"""What these two must be told to have one output."""


def versioned(a: Buildable) -> str | None:
    """Why a plain file of tensors cannot hold a network: torchvision's MNASNet asks for a version beside them."""
    old = isinstance(a, Model) and a.library == "torchvision" and a.name.startswith("mnasnet")
    return f"{a.words} asks for a version that files of tensors alone do not have" if old else None


def torchvision_lines(a: Buildable, head: str | None = None) -> list[str]:
    """`net`, by torchvision alone; `head` takes the place of its classifier, or nothing does (`nn.Identity()`)."""
    place = classifier_place(a)
    match a:
        case Model(name=name):
            told = ", ".join(f"{key}={value}" for key, value in _QUIET.get(name, {}).items())
            return [
                "from torch import nn",
                "from torchvision import models",
                "",
                f"net = models.{name}({told})",
                _put("net", place, head or "nn.Identity()"),
            ]
        case ResNet(standard=str(name)):
            lines = ["from torch import nn", "from torchvision import models", "", f"net = models.{name}()"]
        case ResNet():
            block, depths = ("Bottleneck" if a.block == "bottleneck" else "BasicBlock"), list(a.depths)
            groups = "" if (a.groups, a.group_width) == (1, 64) else f", groups={a.groups}"
            groups += f", width_per_group={a.group_width}" if groups else ""
            lines = [
                "from torch import nn",
                f"from torchvision.models.resnet import {block}, ResNet",
                "",
                f"net = ResNet({block}, {depths}{groups})",
            ]
            if a.width != 64:
                lines += [
                    f"net.inplanes = {a.width}",
                    f"for stage, blocks in enumerate({depths}):",
                    "    stride = 1 if stage == 0 else 2",
                    f"    layer = net._make_layer({block}, {a.width} << stage, blocks, stride=stride)",
                    '    setattr(net, f"layer{stage + 1}", layer)',
                ]
    return [*lines, *_stem_lines(a), _put("net", place, head or "nn.Identity()")]


def timm_lines(a: Buildable, head: str | None = None) -> list[str]:
    """`net`, by timm alone; `head` takes the place of its classifier, or none is made (`num_classes=0`)."""
    match a:
        case Model(name=name, options=options):
            more = "".join(f", {key}={value!r}" for key, value in options)
            lines = ["import timm", "", f'net = timm.create_model("{name}", num_classes=0{more})']
        case ResNet(standard=str(name)):
            lines = ["import timm", "", f'net = timm.create_model("{name}", num_classes=0)']
        case ResNet():
            name = "resnet50" if a.block == "bottleneck" else "resnet18"
            channels = "" if a.width == 64 else f", channels={tuple(a.width << s for s in range(4))}"
            groups = "" if (a.groups, a.group_width) == (1, 64) else f", cardinality={a.groups}, base_width="
            groups += f"{a.group_width}" if groups else ""
            lines = [
                "import timm",
                "",
                f'net = timm.create_model("{name}", layers={a.depths}{channels}{groups}, num_classes=0)',
            ]
            lines += _first_block_lines(a) if a.width != 64 else []
    if isinstance(a, ResNet):
        lines += _stem_lines(a)
    if head is not None:
        lines.append(f"net.{'fc' if isinstance(a, ResNet) else 'head'} = {head}")
    if any("nn." in line for line in lines):
        lines.insert(1, "from torch import nn")
    return lines


def classifier_place(a: Buildable) -> str:
    """The name of the linear layer that torchvision's model classifies with, or timm's ResNet."""
    match a:
        case ResNet():
            return "fc"
        case Model(library="timm"):
            return "head"
        case Model(name=name):
            place = classifier_name(models.get_model(name, weights=None, **_QUIET.get(name, {})))
            assert place is not None  # or it would not have become a backbone
            return place


def head_source(head: nn.Sequential) -> str | None:
    """The projection head as Python; one linear layer alone is not wrapped. None where it holds anything unusual."""
    parts = []
    for module in head:
        match module:
            case nn.Linear():
                bias = "" if module.bias is not None else ", bias=False"
                parts.append(f"nn.Linear({module.in_features}, {module.out_features}{bias})")
            case nn.BatchNorm1d(affine=True):
                parts.append(f"nn.BatchNorm1d({module.num_features})")
            case nn.BatchNorm1d():
                parts.append(f"nn.BatchNorm1d({module.num_features}, affine=False)")
            case nn.ReLU():
                parts.append("nn.ReLU()")
            case _:
                return None
    return parts[0] if len(parts) == 1 else f"nn.Sequential({', '.join(parts)})"


def _stem_lines(a: ResNet) -> list[str]:
    """What gives `net` the stem of `a`, if it is not the one every library builds."""
    if a.stem == IMAGENET and a.width == 64:
        return []
    s: Stem = a.stem
    lines = [
        f"net.conv1 = nn.Conv2d({s.bands}, {a.width}, kernel_size={s.kernel}, stride={s.stride}, "
        f"padding={s.kernel // 2}, bias=False)"
    ]
    lines += [f"net.bn1 = nn.BatchNorm2d({a.width})"] if a.width != 64 else []
    return lines + ([] if s.pooled else ["net.maxpool = nn.Identity()"])


def _first_block_lines(a: ResNet) -> list[str]:
    """timm's first block takes 64 channels whatever follows; here it takes as many as the stem gives."""
    w = a.width
    if a.block == "basic":
        return [
            f"net.layer1[0].conv1 = nn.Conv2d({w}, {w}, kernel_size=3, padding=1, bias=False)",
            "net.layer1[0].downsample = None",
        ]
    inner = w * a.group_width // 64 * a.groups
    return [
        f"net.layer1[0].conv1 = nn.Conv2d({w}, {inner}, kernel_size=1, bias=False)",
        f"net.layer1[0].downsample = nn.Sequential(nn.Conv2d({w}, {4 * w}, kernel_size=1, bias=False), "
        f"nn.BatchNorm2d({4 * w}))",
    ]


def _put(net: str, place: str, what: str) -> str:
    simple = place.isidentifier()
    return f"{net}.{place} = {what}" if simple else f'{net}.set_submodule("{place}", {what})'
