"""More layouts that people hold, of small libraries and single papers, as `foreign_layouts` has those of large ones."""

import argparse

import torch
from foreign_layouts import children, lightning, mlp, other, trunk, under


def simclr_of_sthalles(w):
    return {"epoch": 200, "arch": "resnet18", "state_dict": under("backbone.", trunk(w) | mlp("fc")), "optimizer": {}}


def simclr_of_spijkervet(w):
    return under("module.encoder.", trunk(w)) | mlp("module.projector")


def bolts_moco(w):
    queues = {"queue": torch.zeros(16, 64), "queue_ptr": torch.zeros(1), "val_queue": torch.zeros(16, 64)}
    names = under("encoder_q.", trunk(w) | mlp("fc")) | under("encoder_k.", other(trunk(w) | mlp("fc"))) | queues
    return lightning(names, hyper_parameters={"base_encoder": "resnet18", "emb_dim": 128})


def bolts_byol(w):
    online = under("encoder.", w) | mlp("projector.model")
    names = under("online_network.", online) | under("target_network.", other(online)) | mlp("predictor.model")
    return lightning(names)


def bolts_swav(w):
    head = mlp("projection_head", norm=True) | {"prototypes.weight": torch.zeros(30, 16)}
    return lightning(under("model.", trunk(w) | head))


def fastai(w):
    """learner.save: the body is a Sequential of children, the head another beside it."""
    head = {"1.2.weight": torch.zeros(1024), "1.4.weight": torch.zeros(64, 1024), "1.8.weight": torch.zeros(5, 64)}
    return {"model": under("0.", children(w)) | head, "opt": {"state": [], "hypers": []}}


def pixpro(w):
    names = under("encoder.", trunk(w)) | under("encoder_k.", other(trunk(w)))
    for name in ("projector.linear1", "projector_k.linear1", "value_transform"):
        names[f"{name}.weight"] = torch.zeros(16, 16, 1, 1)
    return {"opt": argparse.Namespace(model="PixPro"), "model": under("module.", names), "optimizer": {}, "epoch": 100}


def seco(w):
    """Seasonal contrast: Sequentials of children, and three heads each with a queue."""
    names = under("encoder_q.", children(w)) | under("encoder_k.", other(children(w)))
    return lightning(names | {"queue": torch.zeros(3, 16, 64)} | mlp("heads_q.0") | mlp("heads_k.0"))


def student_and_teacher(w):
    return under("student.", trunk(w)) | under("teacher.", other(trunk(w)))


def infomin(w):
    names = under("module.encoder.", trunk(w)) | mlp("module.head.mlp") | mlp("module.head_jig.fc1")
    averaged = under("encoder.", other(trunk(w))) | mlp("head.mlp")
    return {
        "opt": argparse.Namespace(),
        "model": names,
        "contrast": {"memory_1": torch.zeros(8, 16)},
        "model_ema": averaged,
    }


def deepcluster_v2(w):
    heads = mlp("projection_head", norm=True) | {
        f"prototypes.prototypes{n}.weight": torch.zeros(30, 16) for n in (0, 1)
    }
    return {"epoch": 800, "state_dict": under("module.", trunk(w) | heads), "optimizer": {}}


def densecl(w):
    names = (
        under("encoder_q.0.", trunk(w))
        | mlp("encoder_q.1.mlp")
        | mlp("encoder_q.1.mlp2")
        | under("backbone.", trunk(w))
    )
    names |= under("encoder_k.0.", other(trunk(w))) | {"queue": torch.zeros(16, 64), "queue2": torch.zeros(16, 64)}
    return {"meta": {"epoch": 200}, "state_dict": names}


def resim(w):
    """Its pyramid of features is made within the encoder."""
    pyramid = {f"fpn_lateral{n}.weight": torch.zeros(8, 8, 1, 1) for n in (5, 4, 3)} | mlp("fc")
    names = under("module.encoder_q.", trunk(w) | pyramid) | under("module.encoder_k.", other(trunk(w)) | pyramid)
    return {"epoch": 200, "arch": "resnet50", "state_dict": names | {"module.queue": torch.zeros(16, 64)}}


def obow(w):
    """The first block of five has the first convolution and its BatchNorm by names of its own."""

    def blocks(w):
        places = {"conv1": "0.Conv", "bn1": "0.bn", **{f"layer{n}": f"{n}" for n in (1, 2, 3, 4)}}
        return {f"{places[k.split('.')[0]]}.{k.split('.', 1)[1]}": v for k, v in trunk(w).items()}

    names = under("feature_extractor._feature_blocks.", blocks(w))
    names |= under("feature_extractor_teacher._feature_blocks.", blocks(other(w)))
    return {"epoch": 200, "network": names | {"bow_predictor.kappa": torch.zeros(1)}, "meters": {}}


def paws(w):
    return {
        "encoder": under("module.", trunk(w) | mlp("fc", norm=True) | mlp("pred")),
        "opt": {},
        "epoch": 3,
        "scaler": {},
    }


def mean_shift(w):
    names = under("module.encoder_q.", trunk(w)) | under("module.encoder_t.", other(trunk(w))) | mlp("module.predict_q")
    return {"opt": argparse.Namespace(), "state_dict": names | {"module.queue": torch.zeros(64, 16)}, "epoch": 3}


def ema_pytorch(w):
    names = under("online_model.", w) | under("ema_model.", other(w))
    return names | {"initted": torch.tensor([True]), "step": torch.tensor([9])}


def shadow(w):
    return {"state_dict": w, "ema": {"decay": 0.999}, "shadow": other(w)}


def deepspeed(w):
    """mp_rank_00_model_states.pt of its stages 0 to 2."""
    shapes = [{k: v.shape for k, v in trunk(w).items()}]
    names = under("encoder_q.", trunk(w)) | under("encoder_k.", other(trunk(w)))
    more = {"buffer_names": [], "optimizer": None, "sparse_tensor_module_names": set(), "ds_version": "0.14"}
    return {"module": names, "param_shapes": shapes, **more}


def composer(w):
    """The solver's state by names of the weights, as FSDP has it too."""
    solver = {k: {"momentum_buffer": v + 1} for k, v in trunk(w).items()}
    return {"state": {"model": under("module.", trunk(w)), "optimizers": {"SGD": {"state": solver}}}, "rng": []}


def torchvision_detector(w):
    inner = {k: v for k, v in trunk(w).items() if "num_batches" not in k}
    heads = {
        "backbone.fpn.inner_blocks.0.0.weight": torch.zeros(8, 8, 1, 1),
        "rpn.head.cls_logits.bias": torch.zeros(3),
    }
    return {"model": under("backbone.body.", inner) | heads}


def in_a_list(w):
    return [3, w, {"lr": 0.1}]


def paddle(w):
    parts = {"running_mean": "_mean", "running_var": "_variance"}
    return {k.replace((last := k.split(".")[-1]), parts.get(last, last)): v.numpy() for k, v in trunk(w).items()}


OTHERS = {
    "InfoMin": infomin,
    "DeepCluster-v2": deepcluster_v2,
    "DenseCL": densecl,
    "ReSim": resim,
    "OBoW": obow,
    "PAWS": paws,
    "Mean Shift": mean_shift,
    "ema-pytorch": ema_pytorch,
    "an average called shadow": shadow,
    "DeepSpeed": deepspeed,
    "Composer": composer,
    "torchvision's detectors": torchvision_detector,
    "a list": in_a_list,
    "PaddlePaddle": paddle,
    "SimCLR of sthalles": simclr_of_sthalles,
    "SimCLR of Spijkervet": simclr_of_spijkervet,
    "lightning-bolts' MoCo": bolts_moco,
    "lightning-bolts' BYOL": bolts_byol,
    "lightning-bolts' SwAV": bolts_swav,
    "fastai, learner.save": fastai,
    "PixPro": pixpro,
    "SeCo": seco,
    "student and teacher": student_and_teacher,
}
