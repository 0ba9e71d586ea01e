"""Run by torchrun in tests/test_distributed_groups.py: steps on images with captions, and what came of them."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from twenty_steps import MACHINE, SMALL, smooth

from moco import distributed
from moco.data.array import Array
from moco.data.groups import Groups
from moco.data.loader import MemoryLoader, Plan
from moco.data.memory import load_memory
from moco.device import place_all
from moco.recipe import SGD, image_text, override
from moco.text.borrowed import borrow
from moco.text.told import Told
from moco.text.words import Words
from moco.training import build_training, train_step

TEXT = {"text.length": 6}
SMALL_TEXT = TEXT | {"text.width": 16, "text.layers": 1, "text.heads": 2, "text.vocabulary": 300}


def steps(images, told, text):
    small = {"encoder.norm_group": 4, "dictionary.size": 40, "epochs": None, "steps": 5}
    recipe = replace(override(image_text(), SMALL | text | small), optim=SGD(lr=0.003))
    memory, _ = load_memory(images, 1)
    training = build_training(recipe, 60, place_all(MACHINE), told=told)
    smooth(training.model)
    plan = Plan.of(recipe, images, distributed.number(), distributed.count())
    losses = [torch.stack(list(train_step(training, batch))) for batch in MemoryLoader(memory).batches(plan, 0)]
    training.refuse_difference()
    parts = {"model": training.model.state_dict(), "dictionary": training.dictionary.state_dict()}
    return {"losses": torch.stack(losses), **parts}


def main(folder):
    """With a tower of its own, and with the borrowed one in FOLDER/model, whose settings ask for dropout."""
    with distributed.processes("cpu", 60):
        data = f"{folder}/{distributed.count()}-{distributed.number()}.npy"
        np.save(data, np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), dtype=np.uint8))
        images, groups = Array(data), Groups(np.arange(60) // 2)
        numbers = torch.randint(4, 300, (60, 6), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
        found = {"own": steps(images, Told(Words("", 6), numbers, groups, 0), SMALL_TEXT)}
        if (model := Path(folder) / "model").exists():
            found["borrowed"] = steps(images, Told(borrow(str(model), 6), numbers % 11, groups, 0), TEXT)
        if distributed.main_process():
            torch.save(found, f"{folder}/{distributed.count()}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
