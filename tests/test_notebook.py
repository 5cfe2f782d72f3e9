"""The notebook runs from top to bottom, on a tiny setting; and stands in the repository as it should."""

import shutil
from pathlib import Path

import pytest
from finetune_helpers import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs the extra [test]")
NOTEBOOK = ROOT / "notebooks/couplet.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_stands_there_without_outputs_and_with_one_cell_of_parameters():
    cells = read().cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1


def test_its_code_reads_and_parses():
    for cell in read().cells:
        if cell.cell_type == "code":
            compile(cell.source, str(NOTEBOOK), "exec")


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra [test]")
    notebook = read()
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    small = ["--max_rows", "400", "--max_steps", "2", "--eval_steps", "1", "--generation_eval_size", "4"]
    small += ["--validation_size", "20", "--num_threads", "1", "--precision", "fp32"]
    parameters.source += f"\nSETTINGS = {small}\nTEST_LINES = 12\nWORK = Path({str(tmp_path / 'work')!r})"
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "Step 2 of 2." in shown and "<svg" in shown and "Couplet evaluation" in shown
    work = Path(tmp_path / "work")
    assert (work / "model/model.safetensors").is_file() and (work / "evaluation/report.html").is_file()
    shutil.rmtree(work)
