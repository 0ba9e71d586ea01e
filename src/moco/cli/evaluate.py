"""`moco evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.machine import Machine


@dataclass
class Evaluate:
    """Judge an encoder beside its untrained self, the pixels, and other encoders."""

    encoder: Annotated[str, tyro.conf.Positional]
    """A run, an encoder.pt, torchvision:NAME[=FILE], timm:NAME[=FILE], or a file of another library."""
    protocols: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """knn, few-labels, few-labels-finetune, linear, linear-quick, finetune, labelfree; without a name the first two."""
    data: str | None = None
    """Labelled images, as for --watch; for labelfree any images."""
    split: float | None = None
    """Share of each class that is held back to judge on, where --data do not come split; 0.2 if not given."""
    train: str | None = None
    """Labelled images to learn from, instead of --data."""
    test: str | None = None
    """Labelled images to judge on, of the same classes."""
    against: tuple[str, ...] = ("random", "pixels")
    """What to put beside it: random (the same architecture untrained), pixels, or other encoders."""
    out: Path | None = None
    """Folder of the results; the run's evaluations/, or evaluations/ beside a file or here."""

    knn_k: tuple[int, ...] = (20, 200)
    """knn: how many neighbours vote."""
    knn_vote: tuple[Literal["weighted", "majority"], ...] = ("weighted", "majority")
    """knn: by exp(cosine / temperature), or one each."""
    knn_temperature: float = 0.07
    """knn: of the weighted vote."""
    knn_features: tuple[Literal["backbone", "head", "whitened"], ...] = ("backbone",)
    """knn: the backbone's features, the head's output where there is a head, or both."""
    few_amounts: Annotated[tuple[str, ...], tyro.conf.arg(name="few")] = ("1", "5", "10", "20")
    """few-labels, few-labels-finetune: shares of the labels (1% 10%) or images per class (5)."""
    few_draws: int | None = None
    """few-labels, few-labels-finetune: draws of labels that are averaged; 10 and 5 if not given."""
    linear_epochs: int = 100
    """linear, linear-quick: epochs; the papers' 100."""
    linear_lrs: tuple[float, ...] = (30.0,)
    """linear, linear-quick: learning rates, tried side by side; the papers' 30 at a batch of 256."""
    linear_sweep: bool = False
    """linear, linear-quick: choose among rates from 0.1 to 300 on a tenth of the training images, for each row."""
    finetune_preset: Literal["inaturalist", "imagenet"] = "inaturalist"
    """finetune, few-labels-finetune: rates and schedule of v1, A.6 or A.7."""
    finetune_epochs: int | None = None
    """finetune, few-labels-finetune: epochs; the papers' 100 if not given."""
    finetune_steps: int = 500
    """finetune, few-labels-finetune: more epochs where they make fewer steps than this."""
    finetune_lrs: tuple[float, ...] = ()
    """finetune, few-labels-finetune: choose among these rates on a fifth of the training images, for each row."""
    labelfree_images: int = 1000
    """labelfree: how many images, evenly spread over all."""
    labelfree_views: int = 10
    """labelfree: views of each image; the paper of LiDAR takes 50."""
    labelfree_features: tuple[Literal["backbone", "head"], ...] = ("backbone",)
    """labelfree: as for knn."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    machine: Machine = field(default_factory=Machine)


def run(arguments: list[str]) -> Answer:
    """Judge, show the tables, and write the page of a run again."""
    asked = parse(Evaluate, "moco evaluate", arguments)
    from moco import distributed
    from moco.commands.evaluate import QUICK, evaluate, named_protocol
    from moco.commands.report import report
    from moco.display import Terminal
    from moco.run.directory import is_run

    tell = Terminal()
    results = evaluate(
        asked.encoder,
        asked.data,
        [named_protocol(name, vars(asked)) for name in asked.protocols or QUICK],
        train=asked.train,
        test=asked.test,
        split=asked.split,
        against=asked.against,
        out=asked.out,
        machine=asked.machine,
        tell=tell,
    )
    run = next((p for p in (Path(asked.encoder), Path(asked.encoder).parent) if is_run(p)), None)
    if run is not None and asked.out is None and distributed.main_process():
        tell.note(f"{report(run)} shows them beside the curves")
    return Answer([result.content() for result in results])
