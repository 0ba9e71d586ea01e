"""Every code block of the documents works: it runs, made small, or says why not and is checked against the parsers.

Commands run in this process, with the flags of the page and behind them those that make it small; what torchrun would
start on many devices runs here as one process, once torchrun's own parser has taken its flags. A page runs from top to
bottom in a folder of its own, with photographs, labelled images, boxes, scans and finished runs in it.
"""

import ast
import contextlib
import importlib
import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from blocks import PAGES, ROOT, before_moco, blocks_of, commands_of, of_moco
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.distributed.run import get_args_parser

from moco.cli import COMMANDS, main
from moco.cli.pretrain import starting_recipe
from moco.commands.pretrain import pretrain
from moco.loopback import Loopback
from moco.machine import Machine
from moco.recipe import RECIPES, flatten, override, v2

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
RUN = sorted({block.page for block in BLOCKS if block.runs and block.language in ("bash", "python")})
"""Pages with blocks that run."""
NOT_RUN = {
    "CONTRIBUTING.md": ["they install, and run the tests that this is one of"],
    "README.md": ["they install, and train for minutes; what make demo does is in the next block", "it installs"],
    "docs/coming-from.md": ["it fetches CIFAR-10, and trains 200 epochs"],
    "docs/export.md": ["a benchmark of minutes"],
    "docs/library.md": ["the body of a function; tests/test_examples.py runs examples/moco_in_25_lines.py"],
    "docs/tutorials/slurm.md": ["needs Slurm"],
}
"""The blocks that do not run, by the reason that the page gives in a comment before each."""

ONE_THREAD = (
    "--machine.compile off --machine.device cpu --machine.precision fp32 --machine.threads 1 --machine.workers 1"
)
SMALL = {
    "pretrain": "--encoder.backbone resnet10w8 --encoder.stem small --encoder.norm-group 4 --encoder.dim 16 "
    "--dictionary.size 16 --image-size 16 --batch 12 --epochs 1 --optim.lr 0.01 " + ONE_THREAD,
    "evaluate": "--few 1 --few-draws 2 --finetune-steps 1 --finetune-epochs 1 --linear-epochs 1 --knn-k 2 "
    + ONE_THREAD,
    "embed": ONE_THREAD,
    "transfer": "--views.short 64 --views.test 64 --views.longest 64 --schedule.steps 1 --batch 2 --parts.rois 8 "
    "--parts.before-nms 30 10 --parts.after-nms 10 5 --looks 1 " + ONE_THREAD,
    "predict": ONE_THREAD,
    "cluster": "--k 2",
    "study": "--seeds 1 --machine.watch-every 1 ",
    "study mechanisms": "--cells 'end-to-end K 12' 'memory bank K 12' 'MoCo K 12' ",
    "study momentum": "--cells 'm 0.9' ",
    "study v3-momentum": "--cells 'm 0.9' ",
    "study v3-predictor": "--cells 'no predictor' ",
    "study v3-patches": "--cells frozen ",
    "tune": "--trials 2 --search keys.m=0.9..0.999 --machine.watch-every 1 ",
    "explore": "--clusters 2 " + ONE_THREAD,
}
"""Put behind what a page says, so that a block takes a second."""
SMALL |= {name: SMALL[name] + SMALL["pretrain"] for name in ("study", "tune")}
SMALL |= {name: SMALL[name] + SMALL["study"] for name in SMALL if name.startswith("study ")}
SMALL |= {name: SMALL[name].replace("--dictionary.size 16 ", "") for name in SMALL if name.startswith("study v3")}
SMALL["study mechanisms"] = SMALL["study mechanisms"].replace("--dictionary.size 16 ", "")  # what it varies
SMALL["study v3-patches"] = SMALL["study v3-patches"].replace("resnet10w8 --encoder.stem small", "vit2w24p8s16")
INSTEAD = {"--time", "--steps", "--epochs", "--init", "--labels"}
"""Flags that are parsed and then left out: SMALL says it, or a file of another library is needed."""


def test_blocks_that_do_not_run_are_these_and_say_why():
    for block in BLOCKS:
        assert not block.mark or re.fullmatch(r"(not run|theirs): \S.*", block.mark), f"{block.name}: {block.mark}"
    left_out = {}
    for block in BLOCKS:
        if block.ours and not block.runs:
            left_out.setdefault(block.page, []).append(block.mark.removeprefix("not run: "))
    assert left_out == NOT_RUN


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda b: b.name)
def test_python_can_be_compiled(block):
    ast.parse(block.code)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "bash"], ids=lambda b: b.name)
def test_shell_can_be_parsed(block):
    done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.ours and b.language in ("bash", "")], ids=lambda b: b.name)
def test_commands_are_taken_by_their_parsers(block, monkeypatch):
    for words in words_of(block) if block.language == "bash" else []:
        if (told := of_moco(words)) is not None:
            parses(told, monkeypatch)
        if words[0] in ("torchrun", "srun") and "torchrun" in words:
            get_args_parser().parse_args([*before_moco(words[words.index("torchrun") + 1 :]), "script.py"])
        if words[:2] == ["pip", "install"]:
            for extra in re.findall(r"\[(.*?)\]", " ".join(words)):
                assert set(extra.split(",")) <= {*EXTRAS, *("s3", "http")}, extra


def words_of(block):
    """The words of each command, with the page's variables in their places."""
    whole = " ".join(b.code for b in BLOCKS if b.page == block.page)
    variables = dict(re.findall(r"^(\w+)=[\"'](.*?)[\"']$", whole.replace("\\\n", " "), re.M))
    return commands_of(re.sub(r"\$(\w+)", lambda m: variables.get(m[1], m[0]), block.code))


class Parsed(Exception):  # noqa: N818
    """The arguments fit."""


def parses(told, monkeypatch):
    """The command's own parser takes these words; nothing is done."""
    if not told or told[0] in ("--help", "--version") or "--help" in told:
        return
    assert told[0] in COMMANDS, told[0]
    room = importlib.import_module(f"moco.cli.{told[0]}")

    def take(*arguments, **more):
        parse(*arguments, **more)
        raise Parsed

    parse = importlib.import_module("moco.cli.parse").parse
    with monkeypatch.context() as patched, contextlib.suppress(Parsed):
        patched.setattr(room, "parse", take)
        patched.setattr(room, "starting_recipe", named, raising=False)
        room.run(list(told[1:]))
        assert told == ["study"], f"{told} was not parsed"


def named(name):
    """The recipe of that name; of a file that only the page has, one that has all fields."""
    return starting_recipe(name) if name in RECIPES else v2()


@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page, made_once, tmp_path, monkeypatch):
    shutil.copytree(made_once("documents", make_world), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Loopback, "serve", serve_once)
    monkeypatch.setattr("moco.commands.pretrain.finish", lambda to, out: out / "report.html")  # has tests of its own
    scope, trained = {}, set()
    for block in blocks_of(ROOT / page):
        if block.runs and block.language == "python":
            exec(compile(block.code, block.name, "exec"), scope)
        elif block.runs and block.language == "bash":
            for words in words_of(block):
                run([word.replace("/shared/", "shared/") for word in words], block.name, trained)


def serve_once(self):
    """In the place of serving until Ctrl-C: the page is asked for once."""
    with self.serving() as address, urllib.request.urlopen(address) as page:
        assert b"<html" in page.read()


def run(words, name, trained):
    """One command of a page; the run of the folder gives way to one that the page trains itself."""
    if words[:2] == ["pip", "install"]:
        return
    told = of_moco(words)
    if told is None:
        outside(words, name)
        return
    if told[:1] == ["pretrain"] and "--out" in told and (out := told[told.index("--out") + 1]) not in trained:
        shutil.rmtree(out, ignore_errors=True)
        trained.add(out)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = exit_code(small(told))
    assert code == 0, f"{name}: moco {' '.join(told)} ended with {code}"
    if ">" in words:
        (to := Path(words[-1]).expanduser()).parent.mkdir(parents=True, exist_ok=True)
        to.write_text(said.getvalue())
    if "|" in words:
        outside(words[words.index("|") + 1 :], name, said.getvalue())


def outside(words, name, given=""):
    """A command of the shell, or a script of the project."""
    words = [sys.executable, *words[1:]] if words[0] == "python" else words
    done = subprocess.run(words, input=given, capture_output=True, text=True)
    assert done.returncode == 0, (name, words, done.stderr)


def exit_code(told):
    try:
        main(told)
    except SystemExit as ended:
        return ended.code or 0
    return 0


def small(told):
    """The command with what makes it quick in the place of what makes it long."""
    smaller = shlex.split(SMALL.get(" ".join(told[:2]), SMALL.get(" ".join(told[:1]), "")))
    if "--help" in told or list(told) in ([], ["study"]):
        return list(told)
    kept, leaving = [], False
    fewer = {word for word in smaller if word.startswith("--")} | INSTEAD
    for word in told:
        leaving = word in fewer if word.startswith("--") else leaving
        kept += [] if leaving else [word]
    return kept + smaller


LIKE = {
    "images": "photos",
    "imagenet/train": "photos",
    "new_images": "photos",
    "cifar10k": "cifar10/train",
    "VOCdevkit": "boxes",
    "bccd_voc": "boxes",
    "runs/a": "runs/photos",
    "runs/b": "runs/photos",
    "runs/c": "runs/photos",
    "runs/cells": "runs/photos",
    "studies/mechanisms/runs/moco-k-256-seed0": "runs/photos",
}
"""Folders that pages name, and the one that each is here."""


def make_world(folder):
    """What the pages speak of, small: the folder that they are run in."""
    flower, china = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    draw = np.random.default_rng(0)

    def part(side=32):
        image = (flower, china)[int(draw.integers(2))]
        top, left = draw.integers(0, 427 - side), draw.integers(0, 640 - side)
        return image[top : top + side, left : left + side]

    def save(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for i in range(72):
        save(folder / "photos" / f"{i}.jpg", part())
        save(folder / "scans" / f"{i}.png", (part().mean(axis=2) * 16).astype(np.uint16))
    for i in range(12):
        for name in ("cat", "dog"):
            save(folder / "labelled" / name / f"{i}.jpg", part())
    for i in range(72):
        for name in (
            "imagenette/train",
            "imagenette/val",
            "cifar10/train",
            "cifar10/test",
            "watch/train",
            "watch/test",
        ):
            save(folder / name / ("cat", "dog")[i % 2] / f"{i}.jpg", part())
    make_bands(folder, draw)
    make_boxes(folder / "boxes", part, save)
    (folder / "street.py").write_text(next(b.code for b in BLOCKS if "def street" in b.code))
    for name in ("examples", "website"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    torch.save(torchvision.models.resnet18().state_dict(), folder / "supervised.pth")
    machine = Machine(device="cpu", precision="fp32", threads=1, workers=1)
    words = iter(small(["pretrain"])[1:])
    recipe = override(v2(), {k: v for k, v in numbers(words).items() if not k.startswith("machine")})
    (folder / "runs").mkdir()
    for name in ("photos", "other"):
        pretrain(folder / "photos", folder / "runs" / name, recipe, machine=machine, until=1)
    for name, like in LIKE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(folder / like)


def numbers(words):
    """SMALL's flags as fields of a recipe."""
    found = {}
    for flag in words:
        value = next(words)
        found[flag[2:].replace("-", "_")] = float(value) if "." in value else int(value) if value.isdigit() else value
    return found


def make_bands(folder, draw):
    import tifffile

    for kind, channels in (("slides", 2), ("scenes", 4)):
        (folder / kind).mkdir()
        for i in range(24):
            values = draw.integers(1, 4000, (64, 64, channels)).astype(np.uint16)
            tifffile.imwrite(folder / kind / f"{i}.tif", values, photometric="minisblack", planarconfig="contig")


def make_boxes(folder, part, save):
    bounds = "<bndbox><xmin>8</xmin><ymin>8</ymin><xmax>40</xmax><ymax>44</ymax></bndbox>"
    box = f"<object><name>cell</name>{bounds}</object>"
    for i in range(24):
        save(folder / "JPEGImages" / f"{i}.jpg", part(64))
        size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
        page = f"<annotation><filename>{i}.jpg</filename>{size}{box}</annotation>"
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{i}.xml").write_text(page)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for name, numbers_of in (("train", range(6)), ("val", range(6, 8)), ("trainval", range(6)), ("test", range(6, 8))):
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{i}\n" for i in numbers_of))


def test_each_number_of_a_recipe_is_the_one_of_its_page():
    """docs/reference/recipe-numbers.md, row by row."""
    lines = (ROOT / "docs" / "reference" / "recipe-numbers.md").read_text().splitlines()
    head = next(line for line in lines if line.startswith("| field"))
    names = [cell.strip() for cell in head.strip("|").split("|")][1:-1]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert names == ["v1", "v2", "ig-1b", "cifar", "simclr"]
    assert len(rows) > 30
    for field, *stated, source in rows:
        assert source, field
        for name, text in zip(names, stated, strict=True):
            leaves = flatten(RECIPES[name]())
            value = leaves.get(field.strip("`"), "")
            assert text == (" ".join(map(str, value)) if isinstance(value, tuple) else str(value)), (field, name)


def test_a_block_that_is_not_true_is_found(monkeypatch):
    with pytest.raises(SystemExit):
        parses(["pretrain", "v2", "--data", "x", "--out", "y", "--no-such-flag", "3"], monkeypatch)
    with pytest.raises(AssertionError):
        parses(["trian"], monkeypatch)
    assert of_moco(["torchrun", "--standalone", "-m", "moco", "embed", "x"]) == ["embed", "x"]
    assert of_moco(["moco", "show", ">", "x.json"]) == ["show"]
    assert "--steps" not in small(["pretrain", "--data", "d", "--steps", "5"])
