"""What a shell completes: commands, flags and their values, as the help has them."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from moco.cli import COMMANDS
from moco.cli.completion import Words, flags_in, script, words

HELP = """
│ --machine.precision {auto,bf16,fp32}                    `auto`: bf16 where it is faster (default: auto) │
│ --epochs {None}|INT               Length. (default: 200) │
│ --data STR            Images (required) │
│ --json, --no-json     Print │
"""


def test_flags_and_values_are_read_from_a_help_text():
    found = flags_in(HELP)
    assert found["--machine.precision"] == ("auto", "bf16", "fp32")
    assert found["--epochs"] == found["--data"] == ()
    assert {"--json", "--no-json"} <= found.keys()


@pytest.fixture(scope="module")
def found():
    return words()


def test_every_command_is_there_with_the_flags_of_its_fields(found):
    assert found.keys() == COMMANDS.keys()
    assert {"--data", "--out", "--encoder.backbone", "--schedule.at", "--machine.threads"} <= found[
        "pretrain"
    ].flags.keys()
    assert found["pretrain"].flags["--machine.precision"] == ("auto", "bf16", "fp32")
    assert "--threshold" in found["duplicates"].flags
    assert "v2" in found["pretrain"].first
    assert all("--help" in w.flags for w in found.values())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["moco", "pre"], {"pretrain", "predict"}),
        (["moco", "pretrain", "v"], {"v1", "v2", "v3", "v3-small", "v3-vit"}),
        (["moco", "pretrain", "--machine.prec"], {"--machine.precision"}),
        (["moco", "pretrain", "--machine.precision", "b"], {"bf16"}),
        (["moco", "duplicates", "--thr"], {"--threshold"}),
        (["moco", "report", "imag"], {"images"}),
        (["moco", "export", "imag"], {"images"}),
        (["moco", "export", "images", "torch"], {"torchvision", "torch-export"}),
        (["moco", "export", "images", "onnx", "o"], set()),
    ],
)
def test_bash_sources_it_and_completes_commands_flags_values_and_files(found, line, expected, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "moco.bash").write_text(script("bash", found))
    asked = " ".join(f"'{word}'" for word in line)
    typed = f"COMP_WORDS=({asked}) COMP_CWORD={len(line) - 1}"
    code = f"source ./moco.bash && {typed} && _moco && printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_it(found, shell, tmp_path):
    text = script(shell, found)
    for word in ("pretrain", "machine.precision", "bf16", "threshold", "detect-voc"):
        assert word in text
    (tmp_path / "moco").write_text(text)
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n", tmp_path / "moco"], check=True)


TYPED = {
    "moco pret": "moco pretrain",
    "moco pretrain v3-s": "moco pretrain v3-small",
    "moco duplicates --thr": "moco duplicates --threshold",
    "moco pretrain --machine.precision b": "moco pretrain --machine.precision bf16",
    "moco export imag": "moco export images",
    "moco export images torchv": "moco export images torchvision",
}
"""What is typed, and what stands there after a press of the tabulator."""


def test_fish_completes_what_is_typed(found, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    (tmp_path / "images").mkdir()
    (tmp_path / "moco.fish").write_text(script("fish", found))
    asked = "; ".join(f"complete -C '{line}'; echo =" for line in TYPED)
    code = f"source ./moco.fish; {asked}"
    environment = os.environ | {"HOME": str(tmp_path)}
    told = subprocess.run(
        ["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    ).stdout
    for part, (line, whole) in zip(told.split("=\n")[:-1], TYPED.items(), strict=True):
        words = [answer.split("\t")[0].rstrip("/") for answer in part.splitlines()]
        assert words == [whole.split()[-1]], line


def test_zsh_completes_what_is_typed(found, tmp_path):
    """In a terminal, with the tabulator; then the line is printed instead of run."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    (tmp_path / "images").mkdir()
    (tmp_path / "moco.zsh").write_text(script("zsh", found))
    terminal, inside = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "ZDOTDIR": str(tmp_path)}
    streams = {"stdin": inside, "stdout": inside, "stderr": inside}
    with subprocess.Popen(["zsh", "-f", "-i"], **streams, cwd=tmp_path, env=environment, start_new_session=True) as zsh:
        try:
            start = "autoload -U compinit && compinit -u -D && source ./moco.zsh && print rea''dy\n"
            answer(terminal, start, r"ready")
            for line, whole in TYPED.items():
                printed = answer(terminal, f"{line}\t\x01print -r -- '<' \x05 '>'\n", r"\n< (.*?) *>\r\n")
                assert printed[1] == whole, line
        finally:
            zsh.kill()
            os.close(terminal)
            os.close(inside)


def answer(terminal, typed, pattern):
    """What the shell writes once this is typed, as soon as it has the pattern in it."""
    os.write(terminal, typed.encode())
    said, end = "", time.monotonic() + 60
    while (found := re.search(pattern, said)) is None:
        assert time.monotonic() < end, said
        if select.select([terminal], [], [], 0.2)[0]:
            said += os.read(terminal, 65536).decode(errors="replace")
    return found


def test_what_a_command_does_may_have_quotes():
    assert "'it'\"'\"'s'" in script("fish", {"x": Words("it's", {"--y": ()})})
