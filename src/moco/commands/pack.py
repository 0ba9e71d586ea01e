"""`moco pack`: a compact copy of a data set, as WebDataset shards with an index."""

from __future__ import annotations

import concurrent.futures
import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from moco.data.compact import compact_bands, suffix_of_kind
from moco.data.decide import decide
from moco.data.decode import read
from moco.data.open import open_source
from moco.data.shard_names import INDEX
from moco.data.shard_table import Component, index_bytes
from moco.data.source import Source, Unreadable, fingerprint, native
from moco.data.survey import survey
from moco.errors import MocoError
from moco.run.atomic import write_atomically, write_text

_RECORD = "pack.json"


@dataclass(frozen=True)
class Packing:
    """How images are packed."""

    short_side: int = 256
    """Larger images are made smaller until their shorter side has so many pixels."""
    shard_images: int = 10_000
    quality: int = 90
    """JPEG quality of images that were made smaller."""

    def __post_init__(self) -> None:
        for flag, value, most in (
            ("--short-side", self.short_side, 16_384),
            ("--shard-images", self.shard_images, 10**9),
            ("--quality", self.quality, 100),
        ):
            if not 1 <= value <= most:
                raise MocoError(f"{flag} {value}: must lie between 1 and {most:,}")


@dataclass(frozen=True)
class Packed:
    """What was written."""

    shards: int
    images: int
    bytes: int
    skipped: list[tuple[str, str]]
    """Name and reason of each image that cannot be read."""


def pack(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    packing: Packing | None = None,
    *,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Packed:
    """Write the images of `data` as shards into the folder `out`; the same call again goes on where it was stopped.

    Shards are 000000.tar, 000001.tar, ..., each with an .idx (DALI's) and a _stats.json (img2dataset's) beside it;
    index.json lists them (wids'). Each image keeps its bytes where it is small enough, its class as .cls (a number) and
    its class and name in a .json. Raises MocoError where `out` holds something else, or no image can be read.
    """
    packing, out = packing or Packing(), Path(out)
    source = open_source(data)
    bands = decide(source, survey(source)).pixels is not None
    record = {"data": str(data), "fingerprint": fingerprint(source), **asdict(packing)}
    _claim(out, record)
    labels = [source.label(i) for i in range(len(source))]
    classes = {label: n for n, label in enumerate(sorted({label for label in labels if label is not None}))}
    starts = range(0, len(source), packing.shard_images)
    digits = max(6, len(str(len(starts) - 1)))
    jobs = [_Job(source, out / f"{n:0{digits}}.tar", start, packing, classes, bands) for n, start in enumerate(starts)]
    waiting = [job for job in jobs if not job.done()]
    finished = len(jobs) - len(waiting)

    def tell(count: int) -> None:
        if progress is not None:
            progress(min(len(source), count * packing.shard_images))

    tell(finished)
    if workers > 1 and len(waiting) > 1:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(min(workers, len(waiting)), mp_context=context) as pool:
            futures = [pool.submit(job.run) for job in waiting]
            try:
                for n, future in enumerate(concurrent.futures.as_completed(futures)):
                    future.result()
                    tell(finished + n + 1)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    else:
        for n, job in enumerate(waiting):
            job.run()
            tell(finished + n + 1)
    return _conclude(out, jobs, classes)


def _claim(out: Path, record: dict[str, object]) -> None:
    """Make the folder, or refuse one that holds something else."""
    if out.exists() and not out.is_dir():
        raise MocoError(f"--out {out} is a file; name a folder")
    path = out / _RECORD
    if path.exists():
        old = json.loads(path.read_text())
        different = [
            f"{name} was {old.get(name)}, now {value}" for name, value in record.items() if old.get(name) != value
        ]
        if any(not one.startswith("data was") for one in different):
            raise MocoError(
                f"{out} was packed otherwise: {'; '.join(different)}. Name another --out, or repeat that command"
            )
        for left in out.glob(".*.tmp"):  # of a packing that was killed
            left.unlink(missing_ok=True)
        return
    if out.exists() and any(out.iterdir()):
        raise MocoError(f"--out {out} holds other files; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=2) + "\n")


@dataclass(frozen=True)
class _Job:
    """One shard: the images from `start` on."""

    source: Source
    path: Path
    start: int
    packing: Packing
    classes: dict[str, int]
    bands: bool
    """Whether the images are other than photographs."""

    @property
    def stats(self) -> Path:
        """Written last: a shard with this file is whole."""
        return self.path.with_name(self.path.stem + "_stats.json")

    def done(self) -> bool:
        """Whether an earlier packing finished this shard."""
        return self.stats.exists() and self.path.exists()

    def run(self) -> None:
        """Write the shard, its index, and what became of its images."""
        samples: list[list[Component]] = []
        skipped: list[tuple[str, str]] = []
        indices = range(self.start, min(self.start + self.packing.shard_images, len(self.source)))

        def write(file: BinaryIO) -> None:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for i in indices:
                    try:
                        content, suffix = self._compact(i)
                    except Unreadable as error:
                        skipped.append((self.source.name(i), error.reason))
                        continue
                    samples.append(self._add(tar, i, content, suffix))

        write_atomically(self.path, write)
        write_atomically(self.path.with_suffix(".idx"), lambda file: file.write(index_bytes(samples)))
        size = self.path.stat().st_size
        stats = {"count": len(indices), "successes": len(samples), "bytes": size, "skipped": skipped}
        write_text(self.stats, json.dumps(stats, indent=2) + "\n")

    def _compact(self, i: int) -> tuple[bytes, str]:
        if self.bands:
            return compact_bands(native(self.source, i), self.packing.short_side)
        return compact(self.source.raw(i), self.packing)

    def _add(self, tar: tarfile.TarFile, i: int, content: bytes, suffix: str) -> list[Component]:
        label = self.source.label(i)
        about: dict[str, object] = {"name": self.source.name(i)}
        files = {suffix: content}
        if label is not None:
            about["label"] = label
            files["cls"] = str(self.classes[label]).encode()
        files["json"] = json.dumps(about).encode()
        sample: list[Component] = []
        for end, data in files.items():
            info = tarfile.TarInfo(f"{i:010}.{end}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
            sample.append((info.name, tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data)))
        return sample


def compact(raw: object, packing: Packing) -> tuple[bytes, str]:
    """The bytes and suffix of an image in a shard: as it was where it is small enough; raises Unreadable."""
    header, pixels = read(raw)  # type: ignore[arg-type]
    short = min(header.width, header.height)
    if short <= packing.short_side:
        if isinstance(raw, bytes):
            return raw, suffix_of_kind(raw)
        return _encoded(Image.fromarray(pixels), "PNG"), "png"
    scale = packing.short_side / short
    size = max(1, round(header.width * scale)), max(1, round(header.height * scale))
    smaller = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _encoded(smaller, "JPEG", quality=packing.quality), "jpg"


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def _conclude(out: Path, jobs: list[_Job], classes: dict[str, int]) -> Packed:
    """Write the list of shards and of what was skipped."""
    stats = [json.loads(job.stats.read_text()) for job in jobs]
    skipped = [(str(name), str(reason)) for one in stats for name, reason in one["skipped"]]
    images = sum(one["successes"] for one in stats)
    write_text(out / "skipped.txt", "".join(f"{name}\t{reason}\n" for name, reason in skipped))
    if images == 0:
        raise MocoError(f"none of the images can be read ({': '.join(skipped[0])}); {out / 'skipped.txt'} lists them")
    shardlist = [
        {"url": job.path.name, "nsamples": one["successes"], "filesize": one["bytes"]}
        for job, one in zip(jobs, stats, strict=True)
        if one["successes"]
    ]
    if classes:
        write_text(out / "classes.txt", "".join(f"{label}\n" for label in classes))
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shardlist}
    write_text(out / INDEX, json.dumps(index, indent=1) + "\n")
    return Packed(len(shardlist), images, sum(one["bytes"] for one in stats), skipped)
