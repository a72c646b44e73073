"""The project's files agree with one another: dependencies, pins, environment, wheel, README's numbers."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import readme_tables
import record

NINE = {"jupyterlab", "ipywidgets", "voila", "torch", "numpy", "hyperspy", "scikit-image", "networkx", "holoviews"}
"""The packages the project is built on."""


def run_make(folder, *words):
    """Run make as a user would, not as a part of the make that runs these tests."""
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTEST_ARGS")
    environment = {k: v for k, v in os.environ.items() if k not in outer}
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def requirements(project):
    """Every requirement of the project and its extras, atomnb's own extras aside."""
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for group in groups for text in group]
    return [r for r in found if r.name != "atomnb"]


@pytest.fixture(scope="module")
def pins(root):
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): str(r.specifier) for r in found}


@pytest.fixture(scope="module")
def environment(root):
    return yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))


def test_the_nine_packages_are_base_dependencies(project):
    assert not NINE - {Requirement(text).name for text in project["dependencies"]}


def test_the_licence_is_the_gpl(project, root):
    assert project["license"] == "GPL-3.0-or-later"
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text and "END OF TERMS AND CONDITIONS" in text


def test_only_constraints_pin(requirements, environment):
    assert [str(r) for r in requirements if str(r.specifier)] == []
    assert "==" not in str(environment)


def test_every_dependency_is_pinned_exactly(requirements, pins):
    assert [r.name for r in requirements if canonicalize_name(r.name) not in pins] == []
    assert [f"{name}{pin}" for name, pin in pins.items() if not re.fullmatch(r"==[\w.]+", pin)] == []
    assert pins["torch"] == "==2.13.0"


def test_all_holds_every_optional_package_but_those_of_the_tests(project):
    extras = project["optional-dependencies"]
    (whole,) = map(Requirement, extras["all"])
    assert whole.name == "atomnb" and whole.extras == set(extras) - {"all", "test"}


def test_the_environment_is_python_and_pip_with_the_project(project, environment):
    *plain, by_pip = environment["dependencies"]
    assert environment["name"] == project["name"]
    assert plain == [f"python{project['requires-python']}", "pip"]
    assert by_pip == {"pip": ["-e .[all]"]}


def test_this_environment_follows_the_constraints(pins):
    """What the tests run on is what constraints.txt says."""
    from importlib.metadata import distributions

    installed = {canonicalize_name(d.metadata["Name"]): d.version.split("+")[0] for d in distributions()}
    other = {n: (v, pins[n]) for n, v in installed.items() if n in pins and f"=={v}" != pins[n]}
    assert other == {}


def test_the_makefile_uses_the_constraints_and_ci_uses_the_makefile(root):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs and all("-c constraints.txt" in line for line in installs)
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"make .*test", script) and re.search(r"make .*lint", script)
    assert (root / ".ci" / "run").stat().st_mode & 0o100


def test_make_run_installs_once(root, tmp_path):
    """With the stamp newer than pyproject.toml and constraints.txt, nothing is installed again."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, log in (("python", "installed"), ("atomnb", "opened")):
        (programs / name).write_text(f'#!/bin/sh\necho {log} >> log\necho "$@" >> asked\n')
        (programs / name).chmod(0o755)
    for _ in range(2):
        assert run_make(tmp_path, "run").returncode == 0
    assert (tmp_path / "log").read_text().split() == ["installed", "opened", "opened"]
    assert "-e .[simulate]" in (tmp_path / "asked").read_text(), "the page Simulate and the notebooks need ASE"
    (tmp_path / "pyproject.toml").touch()
    assert run_make(tmp_path, "run").returncode == 0
    assert (tmp_path / "log").read_text().split()[3:] == ["installed", "opened"]


def test_make_run_says_what_is_missing_without_a_new_python(root, tmp_path):
    (tmp_path / "Makefile").write_bytes((root / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    done = run_make(tmp_path, "run", "PYTHON=")
    assert done.returncode != 0 and "Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("lint", "test", "status"), [(0, 0, 0), (3, 0, 2), (0, 5, 2), (1, 1, 2)])
def test_ci_runs_both_and_fails_if_either_does(root, tmp_path, lint, test, status):
    (tmp_path / ".ci").mkdir()
    script = tmp_path / ".ci" / "run"
    script.write_bytes((root / ".ci" / "run").read_bytes())
    makefile = f"lint:\n\t@echo linted; exit {lint}\ntest:\n\t@echo 3 passed in 1s; exit {test}\n"
    (tmp_path / "Makefile").write_text(makefile)
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout.splitlines()[0] == "linted"
    assert done.stdout.splitlines()[-1] == "3 passed in 1s"


@pytest.mark.slow
def test_the_wheel_carries_all_a_user_needs(root, tmp_path):
    """Pages, notebooks, samples, models, browser code: whatever git tracks there is in the wheel, and nothing else."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*build, "-w", str(tmp_path), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("atomnb-*.whl")
    carried = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "atomnb", "dashboards", "notebooks"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    wanted = {re.sub("^(dashboards|notebooks)/", r"atomnb/_pages/\1/", n) for n in listed if n and (root / n).exists()}
    assert carried == wanted
    for pattern in (r"nets/weights/.*\.safetensors", r"nets/weights/.*\.json", r"_pages/dashboards/.*\.ipynb"):
        assert any(re.fullmatch(f"atomnb/{pattern}", name) for name in carried), pattern
    assert any(name.startswith("atomnb/data/samples/") for name in carried)
    assert wheel.stat().st_size < 16e6


def test_pages_are_found_in_the_checkout(root):
    from atomnb.errors import AtomnbError
    from atomnb.pages import pages_dir

    assert pages_dir("dashboards") == root / "dashboards"
    assert pages_dir("notebooks") == root / "notebooks"
    with pytest.raises(AtomnbError, match="dashboards, notebooks"):
        pages_dir("films")


def test_an_installed_package_finds_its_pages_and_copies_notebooks_once(tmp_path, monkeypatch):
    from atomnb import pages
    from atomnb.errors import AtomnbError

    package = tmp_path / "site-packages" / "atomnb"
    (package / "_pages" / "notebooks").mkdir(parents=True)
    (package / "_pages" / "notebooks" / "01.ipynb").write_text("fresh")
    monkeypatch.setattr(pages, "_PACKAGE", package)
    assert pages.pages_dir("notebooks") == package / "_pages" / "notebooks"
    with pytest.raises(AtomnbError, match="install atomnb again"):
        pages.pages_dir("dashboards")
    home = tmp_path / "home"
    folder = pages.working_notebooks(home)
    assert (folder / "01.ipynb").read_text() == "fresh"
    (folder / "01.ipynb").write_text("my notes")
    pages.working_notebooks(home)
    assert (folder / "01.ipynb").read_text() == "my notes"


def test_readme_tables_are_what_the_benchmarks_measured(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    assert readme_tables.filled(text) == text, "run benchmarks/readme_tables.py"


def test_a_table_is_filled_from_its_result_and_only_there(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    table = {"columns": ["dose", "F1"], "rows": [[3000, 0.99512345], ["a|b", None]]}
    record.write_result("demo", {"table": table}, command="python bench.py")
    before = "# x\n<!-- table:demo -->\nold\n<!-- /table -->\nafter\n"
    after = readme_tables.filled(before, tmp_path)
    assert "| dose | F1 |\n| --- | --- |\n| 3000 | 0.9951 |\n| a\\|b | – |\n" in after
    assert "`python bench.py`" in after and "old" not in after
    assert after.startswith("# x\n") and after.endswith("<!-- /table -->\nafter\n")
    assert readme_tables.filled(after, tmp_path) == after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table:demo -->\n", "needs its own"),
        ("<!-- table:nosuch -->\n<!-- /table -->", "run its benchmark"),
        ("<!-- table:bare -->\n<!-- /table -->", "holds no table"),
    ],
)
def test_a_broken_marker_is_an_error(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    record.write_result("bare", {"f1": 1.0})
    with pytest.raises(ValueError, match=message):
        readme_tables.filled(text, tmp_path)


def test_a_result_tells_how_to_repeat_it(tmp_path, monkeypatch):
    import numpy as np

    import atomnb

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    path = record.write_result("demo", {"f1": np.float32(0.5), "raw": np.array([1.0, np.nan])}, command="python x.py")
    back = record.read_result("demo")
    assert back["values"] == {"f1": 0.5, "raw": [1.0, None]}
    assert back["command"] == "python x.py"
    assert re.fullmatch(r"[0-9a-f]{40}( dirty)?|unknown", back["commit"])
    assert back["versions"]["atomnb"] == atomnb.__version__
    assert {"python", "torch", "numpy"} <= set(back["versions"])
    assert back["machine"]["cores"] >= 1 and back["machine"]["cpu"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="plain file name"):
        record.write_result("../demo", {})
