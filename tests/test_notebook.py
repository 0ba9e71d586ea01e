"""The notebook runs from top to bottom, in a kernel of its own, with a few steps in the place of many."""

import os

import pytest
from blocks import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCO_QUICKSTART_STEPS", "4")
    monkeypatch.setenv("MOCO_QUICKSTART_DATA", "demo:validation")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    said = {cell.id: cell.get("outputs", []) for cell in notebook.cells}
    curve = [out for out in said["train"] if "image/png" in out.get("data", {})]
    assert curve, "no curve was drawn"
    for cell in ("show-data", "show-views", "show-neighbours", "show-few"):
        assert any("image/png" in out.get("data", {}) for out in said[cell]), f"{cell} drew nothing"
    assert "this encoder" in str(said["show-few"])
    assert "differs by 0" in "".join(out.get("text", "") for out in said["show-export"])
    assert (tmp_path / "runs" / "quickstart" / "report.html").exists()


def test_the_notebook_is_small_and_holds_no_error_and_no_place_of_a_machine():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not [c for c in notebook.cells if any(out.output_type == "error" for out in c.get("outputs", []))]
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert str(NOTEBOOK.parent.parent) not in NOTEBOOK.read_text()
    assert "/root/" not in NOTEBOOK.read_text()
