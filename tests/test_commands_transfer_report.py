"""`moco report` writes the page of a transfer again, from whatever has been judged."""

import shutil

import pytest
from test_commands_transfer import run
from transfer_data import make_masks

from moco.cli import main
from moco.commands.transfer_report import report_transfer
from moco.errors import MocoError


def test_the_report_is_the_same_again_and_draws_a_run_that_is_not_finished(tmp_path, capsys):
    out = run("segment", make_masks(tmp_path / "data"), tmp_path / "out", seeds=(0, 1))
    before = {name: (out / name).read_text() for name in ("results.md", "results.json")}
    pictures = (out / "report.html").read_text().count("<img")
    (out / "report.html").unlink()
    main(["report", str(out)])
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    assert {name: (out / name).read_text() for name in before} == before
    assert (out / "report.html").read_text().count("<img") == pictures
    log = out / "random-seed1/log.jsonl"
    log.write_text("".join(line + "\n" for line in log.read_text().splitlines()[:2]))
    report_transfer(out)
    assert (out / "results.md").read_text() != before["results.md"]
    shutil.rmtree(out / "random-seed1")
    (out / "random-seed0/log.jsonl").unlink()
    with pytest.raises(MocoError, match="no run that was judged yet"):
        report_transfer(out)
