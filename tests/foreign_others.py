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


OTHERS = {
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
