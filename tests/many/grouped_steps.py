"""Run by torchrun in tests/test_distributed_groups.py: steps with positives from groups, and what came of them."""

import sys
from dataclasses import replace

import numpy as np
import torch
from twenty_steps import MACHINE, SMALL, smooth

from moco import distributed
from moco.data.array import Array
from moco.data.groups import Groups
from moco.data.loader import MemoryLoader, Plan, WorkerLoader
from moco.data.memory import load_memory
from moco.device import place_all
from moco.recipe import Grouped, override, v2
from moco.training import build_training, train_step


def steps(images, groups, loader):
    small = override(v2(), SMALL | {"encoder.norm_group": 4, "dictionary.size": 40, "optim.lr": 0.003})
    recipe = replace(override(small, {"epochs": None, "steps": 5}), groups=Grouped(positives=2))
    training = build_training(recipe, len(images), place_all(MACHINE), groups=groups)
    smooth(training.model)
    plan = Plan.of(recipe, images, distributed.number(), distributed.count(), groups)
    batches = loader(training).batches(plan, 0)
    losses = [torch.stack(list(train_step(training, batch))) for batch in batches]
    training.refuse_difference()
    return {
        "losses": torch.stack(losses),
        "model": training.model.state_dict(),
        "dictionary": training.dictionary.state_dict(),
    }


def main(folder):
    with distributed.processes("cpu", 60):
        data = f"{folder}/{distributed.count()}-{distributed.number()}.npy"
        np.save(data, np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), dtype=np.uint8))
        images, groups = Array(data), Groups(np.arange(60) // 5)
        memory, _ = load_memory(images, 1)
        found = {
            "memory": steps(images, groups, lambda t: MemoryLoader(memory)),
            "workers": steps(images, groups, lambda t: WorkerLoader(images, t.views, 0)),
        }
        if distributed.main_process():
            torch.save(found, f"{folder}/{distributed.count()}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
