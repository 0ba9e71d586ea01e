"""Every recipe learns: on real handwritten digits, after a short training, kNN is far above the untrained network's.

This is the test that notices a change that runs, and no longer learns. An entry of the memory bank moves once an epoch,
so it gets few images and many epochs.
"""

import json

import numpy as np
import pytest

from moco.commands.pretrain import pretrain
from moco.data.demo import Demo
from moco.machine import Machine
from moco.recipe import RECIPES, Cosine, override
from moco.recipe.views import DOCUMENTS

COMMON = {
    "query_view": DOCUMENTS,
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "half",
    "image_size": 32,
    "batch": 128,
    "epochs": 6,
    "knn.k": 10,
    "knn.features": "backbone",
    "loss.temperature": 0.1,
    "schedule": Cosine(per="step", warmup_epochs=1.0),
}
MOMENTUM = {"encoder.norm_group": 32, "keys.m": 0.97, "dictionary.size": 512, "optim.lr": 0.03}
OWN = {
    "v1": MOMENTUM,
    "v2": MOMENTUM | {"epochs": 9},  # its views and head take longer
    "cifar": MOMENTUM,
    "end-to-end": {"optim.lr": 0.03},
    "simclr": {"optim.lr": 0.3},
    "memory-bank": {"dictionary.size": 128, "optim.lr": 0.06, "batch": 64, "epochs": 80},
}
IMAGES = {"memory-bank": 250}


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """4,000 drawings without labels to learn from, or fewer of them; 1,000 others with labels to judge by."""
    folder = tmp_path_factory.mktemp("drawings")
    demo = Demo()
    for count in {4000, *IMAGES.values()}:
        np.save(folder / f"{count}.npy", np.stack([demo.raw(i) for i in range(0, 8000, 8000 // count)]))
    judged = range(8000, 11000, 3)
    labels = np.array([int(demo.label(i)) for i in judged])
    np.savez(folder / "judged.npz", images=np.stack([demo.raw(i) for i in judged]), labels=labels)
    return folder


@pytest.mark.parametrize("name", OWN)
def test_a_short_training_beats_the_untrained_network_by_far(name, drawings, tmp_path):
    recipe = override(RECIPES[name](), COMMON | OWN[name])
    machine = Machine(device="cpu", precision="fp32", workers=1, log_every=20, watch_every=6, threads=1)
    pretrain(
        drawings / f"{IMAGES.get(name, 4000)}.npy",
        tmp_path / "run",
        recipe,
        watch=drawings / "judged.npz",
        machine=machine,
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    knn = [row["knn"] for row in rows if "knn" in row]
    print(name, [round(k, 3) for k in knn])
    assert knn[-1] > knn[0] + 0.10
