"""`moco pack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from moco.cli.answer import Answer
from moco.cli.parse import parse
from moco.machine import cores


@dataclass
class Pack:
    """Copy images into shards, no larger than training needs. A packing that was stopped goes on."""

    data: str
    """Images: all that pretrain takes."""
    out: Path
    """The folder of shards: made, or continued."""
    short_side: int = 256
    """Larger images are made smaller until their shorter side has so many pixels."""
    shard_images: int = 10_000
    """Images a shard."""
    quality: int = 90
    """JPEG quality of images that were made smaller."""
    json: bool = False
    """Print what was found as JSON, and nothing else, on standard output."""
    workers: int | None = None
    """Processes, a shard each at a time; None: one per core, at most 8."""


def run(arguments: list[str]) -> Answer:
    """Pack, and say what became of it."""
    asked = parse(Pack, "moco pack", arguments, Pack(tyro.MISSING, tyro.MISSING))
    from moco.commands.pack import Packing, pack
    from moco.data.names import number_of
    from moco.data.open import open_source
    from moco.display import Terminal

    tell = Terminal()
    packing = Packing(asked.short_side, asked.shard_images, asked.quality)
    workers = asked.workers if asked.workers is not None else min(8, cores())
    try:
        reading = tell.reading("packing images", len(open_source(asked.data)))
        done = pack(asked.data, asked.out, packing, workers=workers, progress=reading)
    finally:
        tell.close()
    shards = "1 shard" if done.shards == 1 else f"{done.shards:,} shards"
    tell.note(f"{number_of(done.images, 'image')} in {shards}, {done.bytes / 1e6:,.1f} MB: --data {asked.out}")
    if done.skipped:
        left = number_of(len(done.skipped), "file")
        tell.note(f"{left} left out because unreadable; {asked.out / 'skipped.txt'} says why")
    return Answer(done)
