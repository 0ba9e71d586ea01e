"""Encoders for loops of one's own: a backbone by name with a projection head, and BatchNorm over groups."""

from __future__ import annotations

from torch import nn

from moco import recipe as r
from moco.arguments import words
from moco.backbones import refuse_unknown
from moco.encoder import Encoder
from moco.encoder import build_encoder as _build_encoder
from moco.errors import MocoError
from moco.ops.batch_norm import GroupBatchNorm
from moco.ops.batch_norm import group_batch_norm as _group_batch_norm
from moco.ops.kernels import has_norm_kernels
from moco.parts import refuse
from moco.recipe.parts import Stem


def build_encoder(
    backbone: str,
    *,
    stem: Stem = "imagenet",
    dim: int = 128,
    head_layers: int = 2,
    head_norm: bool = False,
    norm_group: int | None = None,
    channels: int = 3,
) -> Encoder:
    """A `moco.Encoder`, untrained: a backbone by name and a head of `head_layers` layers to `dim` numbers.

    `backbone` is a torchvision model, `timm:NAME` or `resnetDwW` (depth D, first stage W channels wide); `stem` says
    how a ResNet begins (`small` for images below 64 px); `head_layers` is 1 in MoCo v1 and 2 in v2; `norm_group` is
    what `moco.group_batch_norm` takes. Its weights come from torch's generator: `torch.manual_seed(s)` before it gives
    those of `moco pretrain --seed s`. Raises MocoError for a name or a number that it cannot take.
    """
    name = "build_encoder"
    refuse.instance(name, "backbone", backbone, str, "give a name, such as 'resnet50'; moco.Encoder takes a module")
    if stem not in ("imagenet", "small", "half"):
        raise MocoError(f"moco.{name}: stem is {words(stem)}; give imagenet, small or half")
    refuse.instance(name, "head_norm", head_norm, bool, "give True or False")
    for argument, value in (("dim", dim), ("head_layers", head_layers), ("channels", channels)):
        refuse.number(name, argument, value, least=1, whole=True)
    if norm_group is not None:
        refuse.number(name, "norm_group", norm_group, least=2, whole=True)
    refuse_unknown(backbone)
    choice = r.Encoder(
        backbone=backbone, stem=stem, dim=dim, head_layers=head_layers, head_norm=head_norm, norm_group=None
    )
    made = _build_encoder(choice, channels)[0]
    if norm_group is not None:
        group_batch_norm(made, norm_group)
    return made


def group_batch_norm(net: nn.Module, group: int) -> nn.Module:
    """`net` with each BatchNorm replaced, in place, by one over groups of `group` consecutive images; what comes back.

    What "batch 256 on 8 GPUs" means to BatchNorm, on any number of devices: statistics of 32 images. With
    `moco.shuffled_keys` it is what the papers' shuffling over GPUs does; SyncBatchNorm, which they do without, would
    let the positive be told by its statistics. Parameters, buffers and their names stay, so weights load as before. In
    training a batch must divide into groups; in eval mode it is plain BatchNorm. Raises MocoError for what is no
    module, a group below 2, and a kind of BatchNorm that it does not know (SyncBatchNorm: one left alone would leak).
    """
    refuse.instance("group_batch_norm", "net", net, nn.Module, "give a torch.nn.Module, such as a ResNet")
    refuse.number("group_batch_norm", "group", group, least=2, whole=True)
    for path, module in net.named_modules():
        if isinstance(module, nn.SyncBatchNorm):
            raise MocoError(
                f"moco.group_batch_norm: net has a SyncBatchNorm at {path or 'its root'}, whose statistics are of all "
                "images of a batch; give the network as it was before convert_sync_batchnorm"
            )
    made = _group_batch_norm(net, group)
    if has_norm_kernels():
        for module in made.modules():
            if isinstance(module, GroupBatchNorm):
                module.form = "kernels"  # on a CPU, in channels_last; elsewhere it takes torch's own, group by group
    return made
