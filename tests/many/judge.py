"""Run by tests/test_embed_many.py, alone or by torchrun: features, an evaluation and a watched kNN of a small run."""

import sys
from pathlib import Path

import torch

from moco import distributed
from moco.commands.embed import embed_images
from moco.commands.evaluate import evaluate
from moco.commands.watch import KNNWatch, open_watched
from moco.device import place_all
from moco.display import Terminal
from moco.machine import Machine
from moco.preprocess import Preprocess
from moco.protocols.few_labels import FewLabels
from moco.protocols.few_labels_finetune import FewLabelsFinetune
from moco.protocols.finetune import Finetune
from moco.protocols.knn import KNN
from moco.protocols.labelfree import LabelFree
from moco.protocols.linear import Linear
from moco.protocols.linear_quick import LinearQuick
from moco.run.encoder_file import read_encoder

MACHINE = Machine(device="cpu", precision="fp32", threads=1, workers=0, timeout_seconds=60)


def main(run, data, out):
    protocols = [
        KNN(k=(3, 20)),
        FewLabels(amounts=("2",), draws=3),
        FewLabelsFinetune(amounts=("1", "2"), draws=2, epochs=1, steps=2),
        Finetune(epochs=1, steps=0),
        Linear(epochs=2, batch=64),
        LinearQuick(epochs=2),
        LabelFree(images=20, views=2),
    ]
    found = embed_images(run, data, Path(out) / "features.npz", machine=MACHINE, tell=Terminal())
    evaluate(run, data, protocols, machine=MACHINE, out=out, tell=Terminal())
    with distributed.processes("cpu", 60):
        encoder, recipe, _ = read_encoder(Path(run) / "encoder.pt")
        preprocess = Preprocess(recipe.image_size, recipe.normalize)
        watch = KNNWatch(open_watched(data), recipe, preprocess, place_all(MACHINE), 0)
        once, again = watch(encoder), watch(encoder)
        assert once == again
        torch.save({"features": torch.from_numpy(found.features), "knn": once}, f"{out}/{distributed.number()}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
