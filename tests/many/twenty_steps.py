"""Run by torchrun in tests/test_distributed.py: twenty steps of each recipe, and what came of them, in FOLDER/P.pt.

Four processes must have been here before others go on from what they saved.
"""

import copy
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from moco import distributed, loop
from moco.commands.pretrain import pretrain
from moco.data.array import Array
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.device import place_all
from moco.errors import MocoError
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import RECIPES, SGD, Batch, override
from moco.shuffle import Unmade, made, shuffled, view_of
from moco.training import build_training, train_step
from moco.two_views import KEY

STEPS, MIDDLE = 20, 10
"""An epoch has 15."""
SMALL = {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 12, "batch": 16}
MASKED = {
    "encoder.backbone": "vit2w16p4s12h2",
    "encoder.stem": "imagenet",
    "encoder.head_width": 24,
    "predictor.width": 24,
    "query_view.keep": 0.5,
    "query_view.erase": 0.5,
    "optim": SGD(lr=0.03),  # Adam makes whole steps of the rounding of gradients that are nil
}
MORE = {
    "encoder.norm_group": 2,
    "queries.patches": 2,
    "queries.small": 2,
    "queries.small_size": 12,
    "image_size": 24,  # of fewer pixels the last BatchNorm sees one value of each of two images
    "first_sizes": (20,),
    "epochs": 2,
}
CASES = {
    "v1": ("v1", {"encoder.norm_group": 4}),
    "v2": ("v2", {"encoder.norm_group": 4}),
    "v2, groups of two processes": ("v2", {"encoder.norm_group": 8}),
    "v2, one group": ("v2", {"encoder.norm_group": None}),
    "cifar": ("cifar", {"encoder.norm_group": 4, "loss.symmetric": True}),
    "memory-bank": ("memory-bank", {"encoder.norm_group": 4}),
    "end-to-end": ("end-to-end", {"encoder.norm_group": 4}),
    "simclr": ("simclr", {"optim.lr": 0.1}),
    "v3": ("v3", {"encoder.head_width": 24, "predictor.width": 24, "optim.lr": 0.05}),
    "v3-vit, masked": ("v3-vit", MASKED),
    "cifar, in parts": ("cifar", {"encoder.norm_group": 2, "loss.symmetric": True}),
    "v2, patches and small crops": ("v2", MORE),
}
IN_PARTS = ("v3-vit, masked", "cifar, in parts", "v2, patches and small crops")
"""The cases that several processes work through in two parts each, and one in one."""
TWICE = ("v1", "v2", "memory-bank", "simclr")
"""The cases of two processes; one and four do all."""
GO_ON = (*TWICE, "v2, one group")
"""The cases that one process, and two of those they have, take over from four in the middle."""
MACHINE = Machine(device="cpu", precision="fp32", threads=1, workers=1)


def small(case):
    name, own = CASES[case]
    recipe = RECIPES[name]()
    size = {} if isinstance(recipe.dictionary, Batch) else {"dictionary.size": 40}
    rate = {} if "optim" in own else {"optim.lr": 0.003}
    return override(recipe, SMALL | size | rate | own)


def smooth(model):
    """Replace each ReLU by its smooth cousin: a kink turns a difference in the last bit into a jump."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.SiLU())


def shuffled_both_ways(data, memory):
    """Views of a shuffled step made from pixels beside the same views made first and then sent."""
    recipe = small("v2")
    training = build_training(recipe, len(memory), place_all(MACHINE))
    plan = Plan(len(memory), recipe.batch, 2, 0, process=distributed.number(), processes=distributed.count())
    order = draw.permutation(recipe.batch, 0)
    found = {}
    for name, loader in (
        ("memory", MemoryLoader(memory)),
        ("crops", WorkerLoader(Array(data), training.views, 0)),
    ):
        make = partial(view_of, training.views, training.placement)
        view = Unmade(next(loader.batches(plan, 3)), KEY, make, torch.device("cpu"))
        both = [made(shuffled(view, order)), made(shuffled(made(view), order))]
        found[name] = distributed.gather(torch.stack(both, dim=1))
    return found


def take_steps(case, memory, saved=None):
    """What the steps of a case saw and gave, from a saved state on, and the state in the middle."""
    recipe = small(case)
    parts = 2 if case in IN_PARTS and distributed.count() > 1 else 1
    training = build_training(recipe, len(memory), place_all(MACHINE), parts)
    smooth(training.model)
    if saved is not None:
        training.restore(saved)
    plan = Plan(len(memory), recipe.batch, 2, 0, process=distributed.number(), processes=distributed.count())
    losses, order, views, middle = [], [], [], None
    for batch in MemoryLoader(memory).batches(plan, training.step):
        order.append(distributed.gather(torch.from_numpy(batch.index)))
        x_q, x_k = training.views(batch.pixels, batch.sizes, batch.index, batch.epoch)
        views.append(distributed.gather(torch.stack([x_q, x_k], dim=1)).mean(dim=(2, 3, 4)))
        losses.append(torch.stack(list(train_step(training, batch))))
        if training.step == MIDDLE:
            middle = copy.deepcopy(training.state())
        if training.step == STEPS:
            break
    training.refuse_difference()
    seen = {"losses": torch.stack(losses), "order": torch.stack(order), "views": torch.stack(views)}
    return seen | {"model": training.model.state_dict(), "dictionary": training.dictionary.state_dict()}, middle


def stray(data, out):
    """What a run says in which the last process loses a bit of its queue behind step 9."""

    def step(training, batch):
        loss = train_step(training, batch)
        if training.step == 9 and distributed.number() == distributed.count() - 1:
            training.dictionary.keys.view(torch.int32)[3, 5] ^= 1
        return loss

    loop.train_step = step
    try:
        pretrain(data, out, override(small("v2"), {"epochs": 1}), machine=replace(MACHINE, compare_every=5))
    except MocoError as error:
        return str(error)
    return "nothing"


def refused(data):
    """What each process raises where the run directory is a file."""
    try:
        pretrain(data, data, small("v2"), machine=MACHINE)
    except MocoError as error:
        return distributed.joined([(type(error).__name__, str(error))])


def main(folder):
    with distributed.processes("cpu", 60):
        mine, count = distributed.number(), distributed.count()
        data = f"{folder}/{count}-{mine}.npy"
        np.save(data, np.random.default_rng(0).integers(0, 256, (240, 20, 20, 3), dtype=np.uint8))
        memory, _ = load_memory(Array(data), 1)
        found = {"shuffled": shuffled_both_ways(data, memory)}
        for case in CASES if count != 2 else TWICE:
            found[case], middle = take_steps(case, memory)
            if count == 4 and case in GO_ON and distributed.main_process():
                torch.save(middle, f"{folder}/{case}.pt")
            if count < 4 and case in GO_ON:
                saved = torch.load(f"{folder}/{case}.pt", weights_only=True)
                found[f"{case}, from four"], _ = take_steps(case, memory, saved)
        if count == 2:
            found["stray"] = stray(f"{folder}/2-0.npy", f"{folder}/stray")
            found["refused"] = refused(f"{folder}/2-0.npy")
        if distributed.main_process():
            torch.save(found, f"{folder}/{count}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
