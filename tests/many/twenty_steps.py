"""Run by torchrun in tests/test_distributed.py: twenty steps of each recipe, and what came of them, from process 0."""

import sys
from functools import partial

import numpy as np
import torch

from moco import distributed
from moco.data.array import Array
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.device import place_all
from moco.dictionary import KeyQueue
from moco.machine import Machine
from moco.ops import draw
from moco.recipe import RECIPES, Batch, override
from moco.shuffle import Unmade, in_order, shuffled
from moco.training import _view, build_training, train_step
from moco.views import KEY

STEPS = 20
SMALL = {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 12, "batch": 16}
CASES = {
    "v1": ("v1", {"encoder.norm_group": 4}),
    "v2": ("v2", {"encoder.norm_group": 4}),
    "v2, groups of two processes": ("v2", {"encoder.norm_group": 8}),
    "v2, one group": ("v2", {"encoder.norm_group": None}),
    "cifar": ("cifar", {"encoder.norm_group": 4, "loss.symmetric": True}),
    "memory-bank": ("memory-bank", {"encoder.norm_group": 4}),
    "end-to-end": ("end-to-end", {"encoder.norm_group": 4}),
    "simclr": ("simclr", {"optim.lr": 0.1}),
}
TWICE = ("v1", "v2", "memory-bank", "simclr")
"""The cases of two processes; one and four do all."""


def small(case):
    name, own = CASES[case]
    recipe = RECIPES[name]()
    size = {} if isinstance(recipe.dictionary, Batch) else {"dictionary.size": 40}
    return override(recipe, SMALL | size | {"optim.lr": 0.003} | own)


def smooth(model):
    """Replace each ReLU by its smooth cousin: a kink turns a difference in the last bit into a jump."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.ReLU):
                setattr(module, name, torch.nn.SiLU())


def shuffled_both_ways(data, memory):
    """Views of a shuffled step made from pixels beside the same views made first and then sent."""
    recipe = small("v2")
    training = build_training(recipe, len(memory), place_all(Machine(device="cpu", precision="fp32", threads=1)))
    plan = Plan(len(memory), recipe.batch, 2, 0, process=distributed.number(), processes=distributed.count())
    order = draw.permutation(recipe.batch, 0)
    found = {}
    for name, loader in (
        ("memory", MemoryLoader(memory)),
        ("crops", WorkerLoader(Array(data), training.views, 0)),
    ):
        view = Unmade(next(loader.batches(plan, 3)), KEY, partial(_view, training), torch.device("cpu"))
        found[name] = distributed.gather(torch.stack([shuffled(view, order), shuffled(in_order(view), order)], dim=1))
    return found


def main(out):
    found = {}
    machine = Machine(device="cpu", precision="fp32", threads=1)
    with distributed.processes("cpu", 60):
        pixels = np.random.default_rng(0).integers(0, 256, (240, 20, 20, 3), dtype=np.uint8)
        np.save(f"{out}.{distributed.number()}.npy", pixels)
        memory, _ = load_memory(Array(f"{out}.{distributed.number()}.npy"), 1)
        for case in CASES if distributed.count() != 2 else TWICE:
            recipe = small(case)
            training = build_training(recipe, len(memory), place_all(machine))
            smooth(training.model)
            plan = Plan(
                len(memory), recipe.batch, 2, recipe.seed, process=distributed.number(), processes=distributed.count()
            )
            losses, order, views = [], [], []
            for batch in MemoryLoader(memory).batches(plan, 0):
                if training.step == STEPS:
                    break
                order.append(distributed.gather(torch.from_numpy(batch.index)))
                x_q, x_k = training.views(batch.pixels, batch.sizes, batch.index, batch.epoch)
                views.append(distributed.gather(torch.stack([x_q, x_k], dim=1)).mean(dim=(2, 3, 4)))
                losses.append(torch.stack(list(train_step(training, batch))))
            training.refuse_difference()
            found[case] = {
                "losses": torch.stack(losses),
                "order": torch.stack(order),
                "views": torch.stack(views),
                "model": training.model.state_dict(),
                "dictionary": training.dictionary.state_dict(),
            }
        found["shuffled"] = shuffled_both_ways(f"{out}.{distributed.number()}.npy", memory)
        if distributed.main_process():
            torch.save(found, out)
        if distributed.count() > 1:  # a process that strays is found and named
            queue = KeyQueue(40, 16, torch.Generator().manual_seed(0))
            if distributed.number() == distributed.count() - 1:
                queue.keys[3, 5] += 1e-7
            try:
                distributed.refuse_difference({"the dictionary": distributed.checksum([queue.keys])})
            except ValueError as error:
                if distributed.main_process():
                    print(error)


if __name__ == "__main__":
    main(sys.argv[1])
