"""The notebooks: stripped in git, equal to their text form, free of what confuses, and they run."""

import ast
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
DASHBOARDS = sorted((ROOT / "dashboards").glob("*.ipynb"))

SAYS = {"03_train_and_judge": "finds the atoms of MoS2 better than its parent"}
"""What a notebook concludes from what it has computed."""


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", NOTEBOOKS + DASHBOARDS, ids=name)
def test_no_outputs_are_kept(path):
    for cell in nbformat.read(path, 4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_what_they_write_is_not_kept():
    listed = subprocess.run(["git", "ls-files", "notebooks"], cwd=ROOT, capture_output=True, text=True, check=True)
    own = {f"notebooks/{path.stem}{ending}" for path in NOTEBOOKS for ending in (".ipynb", ".py")}
    assert set(listed.stdout.split()) == own


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_the_text_form_says_the_same(path):
    import jupytext

    text = jupytext.read(path.with_suffix(".py"))
    cells = [(c.cell_type, c.source) for c in nbformat.read(path, 4).cells]
    assert cells == [(c.cell_type, c.source) for c in text.cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_student_can_read_it(path):
    cells = nbformat.read(path, 4).cells
    code = "\n".join(c.source for c in cells if c.cell_type == "code")
    tree = ast.parse(code)
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)], "no def in a notebook"
    assert not re.search(r"import _|\._[a-z]|from atomnb\.\S*\._", code), "only public names"
    prose = sum(c.cell_type == "markdown" for c in cells)
    assert prose >= 0.8 * (len(cells) - prose), "each idea needs its words"


@pytest.mark.parametrize("path", DASHBOARDS, ids=name)
def test_a_dashboard_is_one_cell(path):
    assert len(nbformat.read(path, 4).cells) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs_without_complaint(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("ATOMNB_QUICK", "1")
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    complaints = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert complaints == []
    told = "".join(o.text for o in outputs if o.output_type == "stream")
    assert SAYS.get(name(path), "") in told
    assert any("image/png" in o.get("data", {}) for o in outputs)
