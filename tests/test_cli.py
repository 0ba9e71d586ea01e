"""The command line in this process: what goes where, with which exit code, and what is printed."""

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image
from torch.distributed.run import parse_args

from moco.cli import main
from moco.cli.pretrain import named_changes
from moco.display import Terminal
from moco.recipe import RECIPES, from_json, override, v2

SMALL = [
    "--encoder.backbone", "resnet10w8", "--encoder.stem", "small", "--encoder.norm-group", "4", "--encoder.dim", "16",
    "--dictionary.size", "64", "--image-size", "16", "--batch", "32", "--epochs", "1", "--machine.device", "cpu",
    "--machine.precision", "fp32", "--machine.threads", "1", "--machine.workers", "1", "--machine.log-every", "1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out + said.err


def test_version_and_help(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("moco 0")
    main([])
    assert "moco pretrain" in capsys.readouterr().out


def test_show_lists_the_names_and_prints_a_recipe_that_can_be_read_again(capsys, tmp_path):
    main(["show"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in [*RECIPES, "auto", "documents"])
    main(["show", "cifar"])
    printed = capsys.readouterr().out
    assert from_json(printed) == RECIPES["cifar"]()
    (tmp_path / "my.json").write_text(printed)
    main(["show", str(tmp_path / "my.json")])
    assert capsys.readouterr().out == printed


def test_check_prints_what_is_there(capsys, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    main(["check", "--data", str(tmp_path)])
    said = capsys.readouterr().out
    assert "1 image" in said
    assert "every image can be read" in said
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--data", str(tmp_path)])
    assert stopped.value.code == 1, "a run would stop here"
    assert "1 of 2 images cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["train"], 2, "there is no command 'train'"),
        (["check", "--data", "nowhere"], 1, "there is no such file or folder"),
        (["report", "nowhere"], 1, "is not a run directory"),
        (["show", "v9"], 1, "there is no recipe 'v9'"),
        (["pretrain", "--data", "nowhere", "--out", "run", "--batch", "many"], 2, "many"),
        (["pretrain", "--data", "nowhere", "--out", "run"], 1, "there is no such file or folder"),
        (["check"], 2, "data"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(capsys, tmp_path, monkeypatch, arguments, code, why):
    monkeypatch.chdir(tmp_path)
    found, said = fails(capsys, *arguments)
    assert found == code
    assert why in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_flags_become_changes_by_their_dotted_names():
    start = v2()
    asked = override(start, {"optim.lr": 0.5, "loss.symmetric": True})
    arguments = ["--optim.lr", "0.5", "--loss.symmetric", "--batch=256", "--out", "x"]
    assert named_changes(start, asked, arguments) == {"optim.lr": 0.5, "loss.symmetric": True, "batch": 256}


def test_a_run_stopped_by_ctrl_c_says_how_it_goes_on_and_what_draws_it_then_is_reported(
    capsys, digits_file, tmp_path, monkeypatch, hears_ctrl_c
):
    told = Terminal.row

    def row(self, row, step, steps, seconds_left):
        told(self, row, step, steps, seconds_left)
        if step == 5 and "loss" in row:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    command = ["pretrain", "v2", "--data", digits_file, "--out", run, *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr(Terminal, "row", row)
        code, said = fails(capsys, *command)
    assert code == 130
    assert "stopped and saved at step 5; the same command goes on from there" in said.replace("\n", " ")
    assert f"moco report {run}" in said.replace("\n", "")
    main(["report", str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    main([str(a) for a in command])
    assert "going on from step 5 of 15" in capsys.readouterr().out
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines() if '"loss"' in line]
    assert steps == list(range(1, 16))


def test_a_folder_of_another_kind_is_not_written_into(capsys, digits_file, tmp_path):
    np.save(tmp_path / "thesis.npy", np.zeros(3))
    code, said = fails(capsys, "pretrain", "--data", digits_file, "--out", tmp_path)
    assert code == 1
    assert "holds other files" in said


def test_a_logger_can_be_named_behind_torchrun_which_takes_log_for_its_own(capsys):
    command = ["-m", "moco", "pretrain", "--data", "x", "--logger", "mlflow", "wandb"]
    assert parse_args(command).training_script_args == command[2:]
    with pytest.raises(SystemExit):
        parse_args([*command[:5], "--log", "mlflow"])
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    assert "--logger" in capsys.readouterr().out
