"""`moco pretrain`: from images without labels to a run directory."""

from __future__ import annotations

import dataclasses
import os
import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moco import distributed
from moco.arguments import of_its_types
from moco.auto.pace import Pace
from moco.commands.ask import Ask
from moco.commands.captions import refuse_prompt
from moco.commands.choose import named_recipe
from moco.commands.conclude import about_whitened, conclude
from moco.commands.fit import fit, usual
from moco.commands.init import beginning
from moco.commands.initialise import weights_of
from moco.commands.logged import finish, logged
from moco.commands.look import look
from moco.commands.made_of import tell_beyond
from moco.commands.pairs import AskedPairs, paired
from moco.commands.settle import refuse, settle
from moco.commands.start import record_of, start
from moco.commands.tell import Teller, listener
from moco.commands.train import Given, train
from moco.commands.watch import open_watched
from moco.data.decide import Asked
from moco.data.seen import seen
from moco.device import find_device
from moco.loggers.table import refuse_unknown_or_missing
from moco.machine import Machine
from moco.recipe import Recipe, named_views
from moco.run.directory import RunDirectory, claim_run, refuse_unusable
from moco.run.show import Show
from moco.watching import Watched, sorted_out


@of_its_types("watch")
def pretrain(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    recipe: str | Recipe = "auto",
    *,
    time: str | None = None,
    views: str | None = None,
    watch: Watched | Sequence[Watched] | None = None,
    init: str | os.PathLike[str] | None = None,
    machine: Machine | None = None,
    changes: dict[str, Any] | None = None,
    tell: Teller | None = None,
    until: int | None = None,
    asked: Asked | None = None,
    log: Sequence[str] = (),
    pairs: AskedPairs | str | None = None,
    prompt: str = "{}",
    began: float | None = None,
) -> Path:
    """Train an encoder on images without labels; the run directory `out`, ready for `load`.

    `recipe` is a Recipe, the name of one (`auto`, `v2`, ...), a JSON file of one, or `file.py:function`; `changes` sets
    fields of it by dotted name (`{"optim.lr": 0.1}`). `time` is what `auto` may take in all, as in `20m`, `2h` or `3d`
    (half an hour on a CPU and two hours on a GPU, where neither it nor a length is given). The same call again goes on
    with a run that was stopped. `watch` names labelled images on which kNN is measured now and then, or functions that
    are called as often (docs/library.md), or a list of both. `init` names what
    to start from instead of random weights: a file of any library (`FILE#PREFIX`), a run, `torchvision:NAME[=FILE]`,
    `timm:NAME[=FILE]`. `until` stops after so many epochs, saved and without a report; a later call goes on. `asked`
    says what images are made of where looking at them should not. `log` names loggers (`wandb`, `mlflow`, `trackio`)
    that get the rows, the recipe and the pictures too. `pairs` says which images show the same, so that they are one
    another's positives. `prompt` is the sentence in which image-text names the classes of `watch`. `time` counts from
    `began` (of time.monotonic), or from this call. Raises MocoError, and Stopped at Ctrl-C.
    """
    began = clock.monotonic() if began is None else began
    labelled, functions = sorted_out(watch)
    machine, out = machine or Machine(), Path(out)
    ask = Ask(time, views, changes or {})
    with distributed.processes(machine.device, machine.timeout_seconds):
        tell = listener(tell)
        distributed.on_main(lambda: refuse_unknown_or_missing(log))
        distributed.on_main(lambda: refuse_unusable(out))  # what is quickly said comes before what takes time
        find_device(machine.device)
        recipe = named_recipe(recipe) if isinstance(recipe, str) and recipe != "auto" else recipe
        ask.refuse_contradiction(recipe)
        if views is not None:
            named_views(views)
        refuse_prompt(prompt)
        run = RunDirectory(out)
        begin = beginning(run, init, recipe, ask.changes)
        ask = dataclasses.replace(ask, changes=begin.fields | ask.changes)
        looked = look(data, run, recipe, ask.changes, asked, machine, tell)
        images, made = looked.images, looked.made
        ask = dataclasses.replace(ask, made=made)
        chosen = settle(run, recipe, ask, looked, machine, tell)
        known = paired(AskedPairs(pairs) if pairs is None or isinstance(pairs, str) else pairs, chosen, images)
        known.say(tell)
        if chosen is not None:
            chosen = known.into(chosen)
            refuse(chosen, images)
        else:
            refuse(known.into(usual(looked.facts, ask)), images)
        watched = open_watched(labelled) if labelled is not None else None
        given = Given(begin, watched, functions, until, known.groups, looked.heard, prompt)
        record = record_of(data, looked.whole)
        distributed.on_main(run.open)
        try:
            if chosen is not None:
                claimed = chosen
                distributed.on_main(lambda: claim_run(run, claimed, machine, record))
            begun = start(run, seen(images, made.pixels), looked.facts, machine, tell)
            tell_beyond(begun.source, images, tell)  # of those in memory; of others when all have been read
            show: Show = tell
            if chosen is None:
                chosen = fitted = known.into(fit(begun, ask, began, watched, weights_of(begin)))
                refuse(fitted, images)
                distributed.on_main(lambda: claim_run(run, fitted, machine, record))
                if (seconds := ask.seconds(begun.placement.device.type)) is not None:
                    show = Pace(tell, began, seconds)
            distributed.on_main(lambda: known.keep(run))
            looked.keep(run)
            with logged(show, log, begun, chosen) as told:
                train(begun, chosen, given, told)
                if begun.memory is None:
                    tell_beyond(begun.source, images, tell)
                if until is not None:
                    return out
                conclude(begun, chosen)
                page = distributed.on_main(lambda: finish(told, out))
                tell.note(f"{page} shows the run; moco.load({str(out)!r}) gives the encoder: the backbone's features")
                tell.note(about_whitened(len(begun.source)))
        finally:
            run.unlock()
    return out
