"""Files in the true layouts of other libraries, written from what is known of each; never by this package.

A layout is a function of the backbone's weights (by torchvision's names) to the content of a file.
"""

import argparse
import pickle
import re
import sys
import types

import numpy as np
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def resnet(blocks=(1, 1, 1, 1), block=BasicBlock, seed=0, classes=7, channels=3, small=False):
    """torchvision's ResNet with statistics of BatchNorm that are not those of the start."""
    torch.manual_seed(seed)
    net = ResNet(block, list(blocks), num_classes=classes)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    if small:
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def features(net, x):
    """Of the net without its classifier."""
    head, net.fc = net.fc, nn.Identity()
    with torch.no_grad():
        found = net(x)
    net.fc = head
    return found


def trunk(weights):
    return {k: v for k, v in weights.items() if not k.startswith("fc.")}


def under(prefix, weights):
    return {f"{prefix}{k}": v for k, v in weights.items()}


def other(weights):
    """Another encoder of the same shapes, such as the momentum encoder."""
    return {k: torch.full_like(v, 0.5) if v.is_floating_point() else v for k, v in weights.items()}


def mlp(name, wide=512, dim=16, norm=False):
    found = {f"{name}.0.weight": torch.zeros(wide, wide), f"{name}.0.bias": torch.zeros(wide)}
    if norm:
        found |= under(f"{name}.1.", nn.BatchNorm1d(wide).state_dict())
    return found | {f"{name}.{3 if norm else 2}.weight": torch.zeros(dim, wide)}


def solver(weights):
    """SGD's state, with a buffer for each parameter."""
    values = [v for k, v in weights.items() if v.is_floating_point() and "running" not in k]
    state = {n: {"momentum_buffer": torch.zeros_like(v)} for n, v in enumerate(values)}
    return {"state": state, "param_groups": [{"lr": 0.03, "momentum": 0.9, "params": list(range(2 * len(values)))}]}


def foreign(module, name, **fields):
    """An object of a class that only the library has: it can be pickled, and is not there to be imported."""
    room = sys.modules.setdefault(module, types.ModuleType(module))
    sys.modules.setdefault(module.split(".")[0], types.ModuleType(module.split(".")[0]))
    kind = getattr(room, name, None) or type(name, (), {"__module__": module})
    setattr(room, name, kind)
    made = kind()
    vars(made).update(fields)
    return made


def official(w, wrapped="module.", head=None):
    q = trunk(w) | (head or {"fc.weight": torch.zeros(16, 512), "fc.bias": torch.zeros(16)})
    names = {"queue": torch.zeros(16, 64), "queue_ptr": torch.zeros(1, dtype=torch.int64)}
    names |= under("encoder_q.", q) | under("encoder_k.", other(q))
    return {"epoch": 200, "arch": "resnet18", "state_dict": under(wrapped, names), "optimizer": solver(q)}


def official_stripped(w):
    return {"epoch": 200, "arch": "resnet50", "state_dict": under("module.encoder_q.", trunk(w) | mlp("fc"))}


def official_linear(w):
    content = {"epoch": 100, "arch": "resnet18", "state_dict": under("module.", w)}
    return content | {"best_acc1": torch.tensor([60.6]), "optimizer": {"state": {}, "param_groups": []}}


def v3(w):
    projector = mlp("fc", norm=True) | under("fc.4.", nn.BatchNorm1d(16, affine=False).state_dict())
    names = under("base_encoder.", trunk(w) | projector) | under("momentum_encoder.", other(trunk(w) | projector))
    names |= mlp("predictor", wide=16, norm=True)
    return {"epoch": 100, "arch": "resnet50", "state_dict": under("module.", names), "optimizer": {}, "scaler": {}}


def pycontrast(w):
    names = under("module.encoder.", trunk(w)) | under("module.head.", mlp("mlp"))
    args = argparse.Namespace(method="MoCov2", nce_k=65536)
    model, ema, memory = names, other(names), {"memory": torch.zeros(64, 16)}
    return {"opt": args, "model": model, "contrast": memory, "optimizer": {}, "epoch": 3, "model_ema": ema}


def vissl(w):
    heads = {"0.clf.0.weight": torch.zeros(16, 512), "0.clf.0.bias": torch.zeros(16)}
    model = {"trunk": under("_feature_blocks.", trunk(w)), "heads": heads}
    base = {"model": model, "meters": {}, "optimizer": {"state": {}}}
    queue = {"queue": torch.zeros(16, 64), "queue_ptr": torch.zeros(1, dtype=torch.int64)}
    classy = {"train_phase_idx": 199, "base_model": base, "loss": queue, "optimizer": {"param_groups": []}}
    return {"phase_idx": 199, "iteration": 999, "loss": [1.0], "type": "consolidated", "classy_state_dict": classy}


def vissl_moco(w):
    """Its loss holds the momentum encoder as well, with the same names."""
    content = vissl(w)
    key = under("moco_encoder.base_model.trunk._feature_blocks.", other(trunk(w)))
    content["classy_state_dict"]["loss"] |= key
    return content


def mmselfsup(w):
    neck = mlp("mlp")
    names = under("encoder_q.0.", trunk(w)) | under("encoder_q.1.", neck)
    names |= under("encoder_k.0.", other(trunk(w))) | under("encoder_k.1.", neck)
    names |= under("backbone.", trunk(w)) | under("neck.", neck)
    names |= {"queue": torch.zeros(16, 64), "queue_ptr": torch.zeros(1, dtype=torch.int64)}
    return {"meta": {"mmcls_version": "0.5.0", "epoch": 200}, "state_dict": names, "optimizer": {"state": {}}}


def mmpretrain(w):
    neck = mlp("mlp")
    names = under("backbone.", trunk(w)) | under("neck.", neck)
    names |= under("encoder_k.module.0.", other(trunk(w))) | under("encoder_k.module.1.", neck)
    names |= {"encoder_k.steps": torch.tensor(9), "queue": torch.zeros(16, 64), "queue_ptr": torch.zeros(1)}
    log = foreign("mmengine.logging.history_buffer", "HistoryBuffer", _log_history=np.arange(3.0), _max_length=9)
    hub = {"log_scalars": {"train/loss": log}, "runtime_info": {"epoch": 199}}
    return {"meta": {"epoch": 200, "cfg": "model = dict()"}, "state_dict": names, "message_hub": hub}


def extracted(w):
    return {"state_dict": trunk(w), "author": "OpenMMLab"}


_INDEX = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def children(w):
    """Names of nn.Sequential(*list(net.children())[:-1])."""
    return {re.sub(r"^\w+", lambda m: str(_INDEX[m[0]]), k): v for k, v in trunk(w).items()}


def lightning(names, **more):
    content = {"epoch": 99, "global_step": 1000, "pytorch-lightning_version": "2.5.0", "state_dict": names}
    return content | {"loops": {}, "callbacks": {}, "optimizer_states": [{"state": {}}], "lr_schedulers": []} | more


def lightly(w):
    head = under("layers.", mlp("0"))
    names = under("backbone.", children(w)) | under("backbone_momentum.", other(children(w)))
    names |= under("projection_head.", head) | under("projection_head_momentum.", head)
    return lightning(names | {"criterion.memory_bank.bank": torch.zeros(16, 64)})


def sequential(w):
    return children(w)


def lightly_train(w):
    inner = "wrapped_model._model."
    names = under(f"teacher_embedding_model.{inner}", other(trunk(w)))
    names |= under(f"student_embedding_model.{inner}", trunk(w)) | mlp("student_projection_head.layers")
    net = foreign("lightly_train._models.torchvision.resnet", "ResNetModelWrapper", training=True)
    info = {"version": "0.11.0", "date": "2026-01-01", "models": {"wrapped_model": net}, "license_info": None}
    return lightning(names, lightly_train=info)


def lightly_train_embedding(w):
    """Methods without a teacher; the pickled modules share their memory with the state dict."""
    names = under("embedding_model.wrapped_model._model.", trunk(w))
    return lightning(names, lightly_train={"version": "0.11.0", "models": {"model": whole_module(w)}})


def whole_module(w):
    """torch.save(net): the weights of w within a pickled object, in the same memory."""
    net = resnet()
    net.load_state_dict(w, assign=True)
    return net


def solo_learn(w):
    names = under("backbone.", trunk(w)) | under("momentum_backbone.", other(trunk(w)))
    names |= under("projector.", mlp("0")) | under("momentum_projector.", mlp("0"))
    names |= {"classifier.weight": torch.zeros(10, 512), "queue": torch.zeros(2, 16, 64)}
    config = foreign("omegaconf.dictconfig", "DictConfig", _content={"method": "mocov2plus"})
    return lightning(names, hyper_parameters=config)


def byol_pytorch(w):
    names = under("online_encoder.net.", w) | under("target_encoder.net.", other(w))
    return names | mlp("online_predictor.net")


def simsiam(w):
    names = under("encoder.", trunk(w) | mlp("fc", norm=True)) | mlp("predictor", norm=True)
    return {"epoch": 100, "arch": "resnet50", "state_dict": under("module.", names), "optimizer": {}}


def swav(w):
    names = trunk(w) | mlp("projection_head", norm=True) | {"prototypes.weight": torch.zeros(3000, 16)}
    return under("module.", names)


def dino_full(w):
    student = under("module.backbone.", trunk(w)) | under("module.head.", mlp("mlp"))
    teacher = under("backbone.", other(trunk(w))) | under("head.", mlp("mlp"))
    args = argparse.Namespace(arch="resnet50", patch_size=16)
    loss = {"center": torch.zeros(1, 16)}
    content = {"student": student, "teacher": teacher, "optimizer": {}, "epoch": 800, "args": args}
    return content | {"dino_loss": loss, "fp16_scaler": {"scale": 1.0}}


def vicreg_full(w):
    names = under("module.backbone.", trunk(w)) | under("module.projector.", mlp("0", norm=True))
    return {"epoch": 1000, "model": names, "optimizer": {}}


def barlow_twins_full(w):
    names = under("module.backbone.", trunk(w)) | under("module.projector.", mlp("0", norm=True))
    names |= under("module.bn.", nn.BatchNorm1d(16, affine=False).state_dict())
    return {"epoch": 1000, "model": names, "optimizer": {"state": {}}}


def detectron2(w):
    named = {}
    for k, v in trunk(w).items():
        for stage in range(1, 5):
            k = k.replace(f"layer{stage}.", f"res{stage + 1}.")
        for n in (1, 2, 3):
            k = k.replace(f"bn{n}.", f"conv{n}.norm.")
        k = k.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        named[k if k.startswith("res") else f"stem.{k}"] = v.numpy()
    named["stem.fc.0.weight"] = np.zeros((16, 16), dtype=np.float32)
    return {"model": named, "__author__": "MOCO", "matching_heuristics": True}


def detectron2_detector(w):
    """A model of its zoo: the backbone under its place in the detector, without counts of batches."""
    inner = {k: v for k, v in detectron2(w)["model"].items() if "num_batches" not in k}
    heads = {"proposal_generator.rpn_head.conv.weight": np.zeros((4, 4, 3, 3), dtype=np.float32)}
    return {"model": under("backbone.bottom_up.", inner) | heads, "__author__": "Detectron2 Model Zoo"}


def compiled(w):
    return {"model": under("module._orig_mod.", w)}


def ema_model(w):
    """timm's training script: both, with the averaged ones called so."""
    return {"epoch": 3, "arch": "resnet18x", "state_dict": w, "state_dict_ema": other(w), "args": argparse.Namespace()}


def supcon(w):
    """The kuangliu naming of a shortcut, as in SupContrast and lightly's own ResNet."""
    return {"model": under("encoder.", {k.replace("downsample", "shortcut"): v for k, v in trunk(w).items()})}


LAYOUTS = {
    "plain torchvision": dict,
    "without a classifier": trunk,
    "official v1, resumable": official,
    "official v1, one process": lambda w: official(w, wrapped=""),
    "official v2": lambda w: official(w, head=mlp("fc")),
    "official, stripped": official_stripped,
    "official linear classifier": official_linear,
    "official v3": v3,
    "PyContrast": pycontrast,
    "VISSL": vissl,
    "VISSL's MoCo": vissl_moco,
    "mmselfsup": mmselfsup,
    "mmpretrain": mmpretrain,
    "OpenMMLab, extracted": extracted,
    "lightly": lightly,
    "a Sequential of children": sequential,
    "lightly-train": lightly_train,
    "lightly-train without a teacher": lightly_train_embedding,
    "solo-learn": solo_learn,
    "byol-pytorch": byol_pytorch,
    "SimSiam": simsiam,
    "SwAV": swav,
    "DINO, whole": dino_full,
    "VICReg, whole": vicreg_full,
    "Barlow Twins, whole": barlow_twins_full,
    "detectron2": detectron2,
    "detectron2, a detector": detectron2_detector,
    "DDP and compile": compiled,
    "timm's training": ema_model,
    "SupContrast": supcon,
    "a module pickled whole": whole_module,
}
PICKLES = {"detectron2", "detectron2, a detector"}


def write(path, name, weights):
    """A file of this layout."""
    content = LAYOUTS[name](weights)
    if name in PICKLES:
        with path.open("wb") as file:
            pickle.dump(content, file)
    else:
        torch.save(content, path)
    for room in [room for room in sys.modules if room.split(".")[0] in _ROOMS]:
        del sys.modules[room]
    return path


_ROOMS = {"lightly_train", "mmengine", "omegaconf"}
