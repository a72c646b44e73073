"""The doctor: finds what is missing and says what to do."""

import json
import sys

import pytest

import atomnb
from atomnb import cli, doctor
from atomnb.doctor import NOTE, OK, PROBLEM, Check
from atomnb.errors import ModelError


class Card:
    name = "universal"


@pytest.fixture
def healthy_models(monkeypatch):
    monkeypatch.setitem(atomnb.__dict__, "list_models", lambda: [Card])
    monkeypatch.setitem(atomnb.__dict__, "load_model", lambda name: None)


def named(name):
    return next(c for c in doctor.examine() if c.name == name)


def test_this_installation_is_whole(healthy_models):
    checks = [c for c in doctor.examine() if c.topic != "Machine"]
    assert [c for c in checks if c.status == PROBLEM] == []


def test_every_direct_dependency_is_listed_with_its_version(healthy_models, root):
    import tomllib

    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    found = {c.name.lower().replace("_", "-"): c.found for c in doctor.examine()}
    for name in wanted:
        assert found[name.lower().replace("_", "-")][0].isdigit()


def test_a_missing_package_is_a_problem_an_optional_one_a_note(monkeypatch, healthy_models):
    real = doctor.version

    def version(name):
        if name in ("voila", "ase"):
            raise doctor.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", version)
    assert named("voila").status == PROBLEM and "pip install" in named("voila").remedy
    assert named("ase").status == NOTE and "atomnb[simulate]" in named("ase").found


def test_a_damaged_model_is_a_problem(monkeypatch, healthy_models):
    def load_model(name):
        raise ModelError("universal.safetensors does not match its card")

    monkeypatch.setitem(atomnb.__dict__, "load_model", load_model)
    check = named("universal")
    assert check.status == PROBLEM and "does not match its card" in check.remedy


def test_a_model_folder_without_models_is_a_problem(monkeypatch):
    monkeypatch.setitem(atomnb.__dict__, "list_models", list)
    assert named("models").status == PROBLEM


def test_a_data_folder_that_does_not_exist_is_a_problem(monkeypatch, healthy_models, tmp_path):
    monkeypatch.setenv("ATOMNB_DATA", str(tmp_path / "gone"))
    assert named("data folder").status == PROBLEM
    monkeypatch.setenv("ATOMNB_DATA", str(tmp_path))
    assert named("data folder").status == OK


def test_little_memory_and_disk_are_problems(monkeypatch, healthy_models):
    from types import SimpleNamespace

    monkeypatch.setattr(doctor, "_free_memory_gb", lambda: 0.5)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8))
    assert named("free memory").status == PROBLEM
    assert named("free disk space").status == PROBLEM


def test_a_torch_that_does_not_load_is_a_problem(monkeypatch, healthy_models):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert named("GPU").status == PROBLEM


def test_the_report_ends_with_what_to_fix():
    checks = [
        Check("Software", "Python", OK, "3.11"),
        Check("Software", "voila", PROBLEM, "missing", "pip install voila"),
    ]
    text = doctor.as_text(checks)
    assert text.splitlines()[-2:] == ["To fix:", "  voila: pip install voila"]
    assert doctor.as_text(checks[:1]).splitlines()[-1] == "Everything atomnb needs is here."
    assert doctor.as_dict(checks)["ok"] is False
    assert doctor.as_dict(checks[:1])["ok"] is True


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (NOTE, 0), (PROBLEM, 1)])
def test_the_command_fails_only_on_problems(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "examine", lambda: [Check("Software", "thing", status, "found", "mend it")])
    try:
        cli.main(["doctor", "--json"])
        stopped = 0
    except SystemExit as stop:
        stopped = stop.code or 0
    assert stopped == code
    assert json.loads(capsys.readouterr().out)["checks"][0]["status"] == status
