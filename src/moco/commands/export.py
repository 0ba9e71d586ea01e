"""`moco export`: the encoder in the form another library opens, and the proof that it is the same encoder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import PIL
import torch
import torchvision

from moco.arguments import of_its_types
from moco.commands.opened import open_for_images
from moco.commands.tell import Silent, Teller
from moco.errors import MocoError
from moco.foreign.exported import RECORD, files_of, first_not_exported
from moco.handover.check import TOLERANCE, Comparison, Original, compare, original
from moco.handover.parcel import Exported, Parcel, parcel_of
from moco.handover.photographs import photographs
from moco.handover.push import push as send
from moco.handover.push import refuse_bad_name
from moco.handover.table import FORMATS, obstacle, refuse_unknown_format, refuse_what_does_not_fit
from moco.recipe import to_json
from moco.run.atomic import trouble_is_told, write_text
from moco.run.directory import refuse_unwritable
from moco.run.load import Opened
from moco.version import VERSION

Name = str | os.PathLike[str]


@dataclass(frozen=True)
class Export:
    """An encoder that was handed over."""

    folder: Path
    file: Path
    """The file that matters in it, or the folder."""
    format: str
    opened_by: str
    difference: float
    """Largest difference of its features from ours, as a share of the largest feature."""
    images: int
    pixels: float | None
    """Largest difference of pixel values in [0, 1] that the target prepares itself; None where it does not."""
    usage: str
    address: str | None = None
    """Where it was pushed to."""


@of_its_types()
def export(
    encoder: Name,
    format: str,  # noqa: A002
    out: Name,
    *,
    head: bool = False,
    preprocess: bool = False,
    data: Name | None = None,
    push: str | None = None,
    tell: Teller | None = None,
) -> Export:
    """Write what `open_encoder` opens into the new folder `out` in a format of `handover.table.FORMATS`.

    It is opened again, by the target's library where that is installed, and must give the same features of real images
    (of `data`, or of what the run was trained on) to 1e-5 of the largest; else nothing is left. `head` keeps the
    projection head; with `preprocess`, onnx and torch-export take uint8 pixels. `push` sends a huggingface folder to
    USER/NAME on the hub. Raises MocoError.
    """
    tell, out = tell or Silent(), Path(out)
    refuse_unknown_format(format)
    if push is not None:
        if format != "huggingface":
            raise MocoError(f"--push is for huggingface, not for {format}")
        refuse_bad_name(push)
    _refuse_unusable(out, format)
    opened = _opened(encoder, tell)
    parcel = parcel_of(opened, head=head, pixels=preprocess)
    refuse_what_does_not_fit(format, parcel)
    images, whose = photographs(opened, data)
    done = _hand_over(parcel, format, out, original(parcel, images), whose, tell)
    if push is not None:
        address = send(done.folder, push)
        _keep(done.folder, json.loads((done.folder / RECORD).read_text(encoding="utf-8")))  # the card names it now
        tell.note(f"sent to {address}")
        done = Export(**{**vars(done), "address": address})
    return done


def export_all(
    encoder: Name, out: Name, *, data: Name | None = None, tell: Teller | None = None
) -> tuple[list[Export], dict[str, str]]:
    """Every format that can hold the encoder, each in a folder of its name below `out`; and why others cannot.

    A format that fails, such as by its check, is among these, and the others go on.
    """
    tell, out = tell or Silent(), Path(out)
    _refuse_name_of_a_file(out)
    for name in FORMATS:
        _refuse_unusable(out / name, name)
    opened = _opened(encoder, tell)
    parcel = parcel_of(opened)
    images, whose = photographs(opened, data)
    known = original(parcel, images)
    done, left = [], {}
    for name in FORMATS:
        reason = obstacle(name, parcel)
        if reason is None:
            try:
                done.append(_hand_over(parcel, name, out / name, known, whose, tell))
            except MocoError as error:
                reason = str(error)
        if reason is not None:
            left[name] = reason
            tell.note(f"{name}: {reason}")
    return done, left


def _opened(encoder: Name, tell: Teller) -> Opened:
    opened = open_for_images(encoder, tell)
    if not opened.trained:
        tell.note(f"{os.fspath(encoder)} names no weights: what is exported is random, as before any training")
    return opened


def _hand_over(parcel: Parcel, name: str, out: Path, known: Original, whose: str, tell: Teller) -> Export:
    """Written beside `out` first, and put in its place once it has been opened and found the same."""
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    new = [folder for folder in out.parents if not folder.exists()]
    with trouble_is_told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    try:
        exported = FORMATS[name].write(parcel, beside)
        found = compare(parcel, exported, known)
        _keep(beside, _record(parcel, name, exported, found, whose))
        _put_in_place(beside, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for folder in new:
            if not any(folder.iterdir()):
                folder.rmdir()
    file = out if exported.file == "." else out / exported.file
    pixels = (
        "" if found.pixels is None else f"; its preparation of images by {255 * found.pixels:.2f} of 255 gray levels"
    )
    tell.note(
        f"{file}: opened again by {exported.opened_by}, its features of {found.images} images ({whose}) differ by "
        f"{found.features:.1e} of the largest (at most {TOLERANCE:g} is allowed){pixels}"
    )
    for note in exported.notes:
        tell.note(note)
    return Export(out, file, name, exported.opened_by, found.features, found.images, found.pixels, exported.usage)


def _keep(folder: Path, record: dict[str, object]) -> None:
    """Write the record of an export, with the files that are there."""
    write_text(folder / RECORD, json.dumps(record | {"files": files_of(folder)}, indent=2) + "\n")


def _put_in_place(made: Path, out: Path) -> None:
    """Let `out` be the folder that was made; what was there before goes last."""
    before = made.with_suffix(".old")
    with trouble_is_told(out):
        if out.exists():
            out.rename(before)
        made.rename(out)
    shutil.rmtree(before, ignore_errors=True)


def _record(parcel: Parcel, name: str, exported: Exported, found: Comparison, whose: str) -> dict[str, object]:
    opened = parcel.opened
    return {
        "format": name,
        "encoder": opened.about,
        **parcel.told(),
        "head": parcel.head is not None,
        "takes_pixels": parcel.pixels,
        "opened_by": exported.opened_by,
        "difference": found.features,
        "allowed": TOLERANCE,
        "compared_on": f"{found.images} images of {Path(whose).name}",
        "pixel_difference": found.pixels,
        "recipe": json.loads(to_json(opened.recipe)) if opened.recipe is not None else None,
        "versions": {
            "moco": VERSION,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "pillow": PIL.__version__,
        },
    }


def _refuse_unusable(out: Path, name: str) -> None:
    """Raise MocoError unless `out` is a new folder, or one that an export has written; writes nothing."""
    if out.name in ("", ".."):  # it would be renamed while somebody is in it
        raise MocoError(f"{out} is no new folder; name one, such as {out / name}")
    _refuse_name_of_a_file(out)
    with trouble_is_told(out):
        if out.is_symlink():
            raise MocoError(f"{out} is a link: name the folder it leads to ({out.readlink()}), or a new one")
        if out.exists() and not out.is_dir():
            raise MocoError(f"{out} is a file; name a new folder")
        if out.is_dir() and (other := first_not_exported(out)) is not None:
            raise MocoError(f"{other} is not as an export left it: name a new folder, or move it away")
    try:
        refuse_unwritable(out)
    except MocoError as error:
        raise MocoError(str(error).removeprefix("--out ")) from None


def _refuse_name_of_a_file(out: Path) -> None:
    if out.suffix in (".onnx", ".pt2", ".pt", ".pth", ".pkl", ".safetensors", ".tar"):
        raise MocoError(f"{out} looks like a file: name a folder, such as {out.with_suffix('')}; its file goes into it")
