"""`moco evaluate`: any encoder, any protocol, results in files; a mistake is one line."""

import dataclasses
import inspect
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from moco.cli import main
from moco.cli.evaluate import Evaluate
from moco.commands.evaluate import PROTOCOLS, evaluate, named_protocol
from moco.commands.tell import Silent
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.machine import Machine
from moco.protocols.few_labels import FewLabels
from moco.protocols.knn import KNN
from moco.protocols.linear import Linear
from moco.protocols.linear_quick import NOT_THE_PAPERS, LinearQuick
from moco.recipe import override, v2
from moco.run.directory import DataRecord, start_run
from moco.run.encoder_file import save_encoder

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=0)
FLAGS = ["--machine.device", "cpu", "--machine.precision", "fp32", "--machine.threads", "1", "--machine.workers", "0"]
RECIPE = override(
    v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 16}
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def place(digits, tmp_path_factory):
    """A run that was never trained (its head start is another seed), a folder of each class, and a part of it."""
    root = tmp_path_factory.mktemp("evaluate")
    pixels, labels = digits
    np.savez(root / "digits.npz", images=pixels[:200], labels=labels[:200])
    for i in range(60):
        part = "test" if i % 3 == 0 else "train"
        path = root / "split" / part / f"class {labels[i] % 3}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(path)
    (root / "flat").mkdir()
    for i in range(20):
        Image.fromarray(pixels[i]).save(root / "flat" / f"{i}.png")
    run = start_run(root / "run", RECIPE, Machine(), DataRecord("x", 1, "x"))
    torch.manual_seed(3)
    save_encoder(run.encoder, build_encoder(RECIPE.encoder)[0], RECIPE, 1)
    run.unlock()
    return root


@pytest.fixture
def there(place, tmp_path, monkeypatch):
    """In a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    return place


def test_all_protocols_judge_a_run_beside_its_baselines_and_keep_files(there):
    protocols = [KNN(k=(1, 500)), FewLabels(amounts=("1", "999"), draws=3), "labelfree"]
    protocols += [kind(epochs=1, lrs=(1.0, 30.0)) for kind in (Linear, LinearQuick)]
    results = evaluate(there / "run", there / "digits.npz", protocols, machine=CPU)
    kept = {path.name.split("-digits")[0].rsplit("-tmp")[0] for path in (there / "run" / "evaluations").glob("*.json")}
    assert len(kept) == len(results) == 5
    knn, few, free, linear, quick = results
    assert list(knn.rows) == list(few.rows) == list(free.rows) == ["this encoder", "untrained", "pixels"]
    assert list(linear.rows) == list(quick.rows) == ["this encoder", "untrained"]
    assert knn.columns == ["weighted, k 1", "weighted, k 500 (all 160)", "majority, k 1", "majority, k 500 (all 160)"]
    assert few.columns == ["1 per class"]
    assert linear.columns == ["rate 1", "rate 1, top 5", "rate 30", "rate 30, top 5"]
    assert all(NOT_THE_PAPERS in words for words in (quick.title, quick.note))
    assert all("quick" in column for column in quick.columns)
    assert NOT_THE_PAPERS not in linear.title + linear.note
    for result in (knn, few, linear, quick):
        for cells in result.rows.values():
            assert all(cell.interval[0] <= cell.value <= cell.interval[1] for cell in cells)
    assert "Wilson" in knn.interval
    assert "t interval of the mean of 3 draws" in few.interval
    content = json.loads(next((there / "run" / "evaluations").glob("knn-*.json")).read_text())
    assert content["settings"]["k"] == [1, 500]
    assert content["versions"]["torch"] == torch.__version__
    assert content["contenders"]["untrained"] == "the same architecture, untrained (seed 0)"


def test_the_rate_of_a_sweep_is_chosen_on_training_images_and_shown(there, monkeypatch):
    monkeypatch.setattr("moco.protocols.probe.SWEEP", (1e-9, 1.0))
    for name in ("linear", "linear-quick"):
        protocol = named_protocol(name, {"linear_sweep": True, "linear_epochs": 40})
        (result,) = evaluate(
            there / "run", there / "digits.npz", [protocol], against=["pixels"], machine=CPU, out="found"
        )
        assert list(result.rows) == ["this encoder", "pixels"], "any features find a rate in a sweep"
        cells = result.rows["this encoder"]
        assert result.columns[-1] == "rate chosen"
        assert cells[-1].value == 1.0
        assert "10% of the training images that were held back" in result.note


def test_any_encoder_is_judged_also_a_file_and_a_librarys_and_beside_another(there):
    torch.save(
        {f"module.encoder_q.{k}": v for k, v in build_encoder(RECIPE.encoder)[0].backbone.state_dict().items()},
        "moco.pth",
    )
    settings = {"protocols": [KNN(k=(3,), vote=("weighted",))], "machine": CPU}
    (result,) = evaluate("moco.pth", there / "split", against=[str(there / "run"), "random"], **settings)
    assert list(result.rows) == ["this encoder", str(there / "run"), "untrained"]
    (path,) = (there.__class__("evaluations")).glob("*.json")
    assert path.name.endswith("-moco-pth.json")


def test_a_folder_that_is_named_holds_the_results_of_several_encoders(there):
    for encoder in (there / "run", there / "run" / "encoder.pt"):
        evaluate(encoder, there / "split", [KNN(k=(1,))], against=[], machine=CPU, out="found")
    assert len(list(there.__class__("found").glob("knn-*.json"))) == 2


def test_images_that_cannot_be_read_are_said_once_and_a_single_readable_class_is_an_error(there, tmp_path):
    said = Silent()
    said.note = (notes := []).append
    for part, names in (("train", "aaab"), ("test", "ab")):
        for i, name in enumerate(names):
            path = tmp_path / "broken" / part / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"") if name == "b" and part == "train" else Image.new("RGB", (16, 16)).save(path)
    judges = [KNN(k=(1,)), FewLabels(amounts=("50%",), draws=2)]
    with pytest.raises(MocoError, match="only those of one class can be read"):
        evaluate(there / "run", tmp_path / "broken", judges, machine=CPU, out="found", tell=said)
    assert len([note for note in notes if "cannot be read and is left out (train/b/3.png" in note]) == 1


def test_the_head_is_judged_where_there_is_one(there):
    protocol = KNN(k=(3,), vote=("majority",), features=("backbone", "head"))
    (result,) = evaluate(there / "run", there / "digits.npz", [protocol], machine=CPU, out="found")
    assert list(result.rows) == ["this encoder", "this encoder, head", "untrained", "pixels"]


def test_train_and_test_give_what_the_same_parts_of_one_folder_give(there):
    protocol = KNN(k=(5,))
    (one,) = evaluate(there / "run", there / "split", [protocol], machine=CPU, out="found")
    parts = {"train": there / "split" / "train", "test": there / "split" / "test"}
    (two,) = evaluate(there / "run", None, [protocol], **parts, machine=CPU, out="found")
    assert one.rows == two.rows
    assert "20" in one.interval


def test_images_without_classes_are_enough_for_labelfree(there):
    protocol = named_protocol("labelfree", {"labelfree_images": 12, "labelfree_views": 2})
    (result,) = evaluate(there / "run", there / "flat", [protocol], machine=CPU, out="found")
    assert list(result.rows) == ["this encoder", "untrained", "pixels"]
    assert "the views of its recipe" in result.title


def test_flags_are_the_settings_of_the_protocols_with_their_defaults():
    fields = {f.name: f for f in dataclasses.fields(Evaluate)}
    hidden = {"linear_at", "linear_batch", "linear_seed", "few_seed"}
    hidden |= {"finetune_batch", "finetune_momentum", "finetune_weight_decay", "finetune_seed"}
    for protocol in PROTOCOLS.values():
        for setting in dataclasses.fields(protocol):
            flag = f"{setting.metadata.get('prefix', protocol.prefix)}_{setting.name}"
            assert flag in hidden or fields[flag].default in (setting.default, None), flag
    documented = inspect.getsource(Evaluate)
    assert all(name in documented for name in PROTOCOLS)


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments), *FLAGS])
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1
    return said.err


def test_mistakes_are_one_line_each_with_what_to_do(there, capsys):
    run, digits = there / "run", there / "digits.npz"
    np.savez("one.npz", images=np.zeros((4, 9, 9), dtype=np.uint8), labels=np.zeros(4))
    for arguments, says in (
        ((run, "kmeans", "--data", digits), "there is no protocol 'kmeans'; take knn, few-labels"),
        ((run,), "give --data LABELLED, or --train LABELLED and --test LABELLED"),
        ((run, "--train", digits), "--test is missing: --train needs it"),
        ((run, "--data", digits, "--test", digits), "both --data and"),
        ((run, "--data", digits, "--split", "1.5"), "--split 1.5"),
        ((run, "--data", there / "split", "--split", "0.5"), "comes split"),
        ((run, "--train", digits, "--test", digits), "are both"),
        ((run, "--train", there / "split" / "train", "--test", digits), "are not among those to learn from"),
        ((run, "knn", "--data", there / "split" / "train" / "class 0"), "class"),
        ((run, "knn", "--data", "one.npz"), "all images are of one class, 0"),
        ((run, "knn", "--data", there / "flat"), "labelfree needs no classes"),
        ((there / "nothing.pt", "--data", digits), "there is no run, file or model"),
        ((run, "--data", digits, "--against", "nothing.pt"), "there is no run, file or model nothing.pt"),
        ((run, "--train", "nowhere", "--test", digits), "--train nowhere: there is no such file"),
        ((run, "few-labels", "--data", digits, "--few", "500"), "--few 500 needs as many images"),
        ((run, "linear", "--data", digits, "--linear-epochs", "0"), "--linear-epochs 0"),
        ((run, "--data", digits, "--out", "one.npz"), "one.npz is a file; name a folder elsewhere"),
    ):
        assert says in fails(capsys, *arguments), arguments
    assert not list(there.__class__().glob("evaluations/*"))


def test_the_command_shows_tables_says_where_they_are_kept_and_writes_the_page(there, capsys):
    main(["evaluate", str(there / "run"), "knn", "--data", str(there / "split"), "--knn-k", "2", "3", *FLAGS])
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    for words in ("k nearest neighbours", "untrained", "second line: 95 % Wilson", "kept in", "report.html"):
        assert words in said
    html = (there / "run" / "report.html").read_text()
    assert "95 % Wilson interval of a share of 20 judged images" in html
