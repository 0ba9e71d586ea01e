"""`moco evaluate`: what was learnt, beside the same network untrained, the pixels themselves and other encoders."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moco import distributed
from moco.arguments import of_its_types
from moco.commands.opened import open_for_images
from moco.commands.parts import Name, open_parts, refuse_unclear_data
from moco.commands.tell import Teller, listener
from moco.data.labelled import Labelled
from moco.data.open import open_source
from moco.data.pieces import labelled_pieces, pieces
from moco.device import place_all
from moco.errors import MocoError
from moco.machine import Machine
from moco.protocols.contender import BASELINES, contenders
from moco.protocols.contest import Contest, Judge
from moco.protocols.few_labels import FewLabels
from moco.protocols.few_labels_finetune import FewLabelsFinetune
from moco.protocols.finetune import Finetune
from moco.protocols.knn import KNN
from moco.protocols.labelfree import LabelFree
from moco.protocols.linear import Linear
from moco.protocols.linear_quick import LinearQuick
from moco.protocols.result import Result, slug
from moco.recipe import Pixels
from moco.run.directory import refuse_unwritable
from moco.run.load import Opened

PROTOCOLS: dict[str, type[Judge]] = {
    protocol.name: protocol
    for protocol in (KNN, FewLabels, FewLabelsFinetune, Linear, LinearQuick, Finetune, LabelFree)
}
QUICK = ("knn", "few-labels")
"""What is judged by where no protocol is named: minutes, where linear classification takes hours on large data."""


@of_its_types()
def evaluate(
    encoder: Name,
    data: Name | None = None,
    protocols: Sequence[str | Judge] = QUICK,
    *,
    train: Name | None = None,
    test: Name | None = None,
    split: float | None = None,
    against: Sequence[str] = BASELINES,
    out: Name | None = None,
    machine: Machine | None = None,
    tell: Teller | None = None,
) -> list[Result]:
    """Judge an encoder that `open_encoder` takes; each result is told, and kept as <protocol>-<data>.json.

    `protocols` are names of PROTOCOLS, or settings such as `KNN(k=(1, 20))`. `data` are labelled images (a folder, zip,
    torchvision:NAME, demo) with `train` and `test` parts, or else the share `split` (0.2) of each class is held back;
    or `train` and `test` name two places. Protocols that need no labels take any images. `against`: `random` (the same
    architecture untrained), `pixels`, other encoders. Results are kept in `out`, or else in the run's `evaluations/`,
    beside an encoder file, or in the working directory. Raises MocoError.
    """
    machine = machine or Machine()
    judges = [named_protocol(one) if isinstance(one, str) else one for one in protocols]
    refuse_unclear_data(data, train, test, split)
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = listener(tell)
        opened = open_for_images(encoder, tell)
        folder, name = _where(encoder, opened, out), slug(os.fspath(_the(data, test)))
        distributed.on_main(lambda: refuse_unwritable(folder))  # rather now than after what takes hours
        others = {one: open_for_images(one, tell) for one in against if one not in BASELINES}
        labelled = any(judge.needs_labels for judge in judges)
        pixels = opened.preprocess.pixels
        parts = (
            distributed.on_each(lambda: _pieces(open_parts(data, train, test, split, tell.note), pixels))
            if labelled
            else None
        )
        whole = any(not judge.needs_labels for judge in judges)
        images = distributed.on_each(lambda: pieces(open_source(_the(data, test)), pixels)) if whole else None
        always = [one for judge in judges for one in getattr(judge, "always_beside", ())]
        contest = Contest(
            contenders(os.fspath(encoder), opened, [*against, *always], lambda one: others[one]),
            images,
            os.fspath(data) if data is not None else f"{os.fspath(_the(test))} (learnt from {os.fspath(_the(train))})",
            parts,
            machine,
            place_all(machine),
            tell.note,
        )
        if opened.run is None or out is not None:  # a folder that is not one encoder's own
            name = f"{name}-{slug(os.fspath(encoder))}"
        results = []
        for judge in judges:
            start = time.monotonic()
            result = dataclasses.replace(
                judge.judge(contest),
                encoder=os.fspath(encoder),
                contenders={c.name: c.about for c in contest.contenders},
                device=contest.placement.reason,
                seconds=time.monotonic() - start,
            )
            path = distributed.on_main(lambda r=result: r.save(folder, name))  # type: ignore[misc]
            tell.results(result)
            tell.note(f"kept in {path}")
            results.append(result)
    return results


def named_protocol(name: str, flags: Mapping[str, Any] | None = None) -> Judge:
    """The protocol of that name, with the settings among `flags` (`knn_k`) that are its own."""
    if name not in PROTOCOLS:
        raise MocoError(f"there is no protocol {name!r}; take {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    own = {
        f"{field.metadata.get('prefix', protocol.prefix)}_{field.name}": field.name
        for field in dataclasses.fields(protocol)  # type: ignore[arg-type]
    }
    return protocol(**{own[flag]: value for flag, value in (flags or {}).items() if flag in own and value is not None})


def _pieces(parts: tuple[Labelled, Labelled], pixels: Pixels | None) -> tuple[Labelled, Labelled]:
    """Both with a position for each page or tile that the encoder's images are."""
    train, test = parts
    return labelled_pieces(train, pixels), labelled_pieces(test, pixels)


def _the(*names: Name | None) -> Name:
    """The first that is given."""
    return next(name for name in names if name is not None)


def _where(encoder: Name, opened: Opened, out: Name | None) -> Path:
    """The folder of the results."""
    if out is not None:
        return Path(out)
    if opened.run is not None:
        return opened.run.evaluations
    file = Path(os.path.expanduser(os.fspath(encoder)))  # noqa: PTH111
    return (file.parent if file.exists() else Path()) / "evaluations"
