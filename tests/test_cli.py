"""The atomnb command: what it starts, what it prints, how it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import atomnb
from atomnb import cli
from atomnb.batch import BatchRow
from atomnb.nets.checkpoint import ModelCard

CARD = ModelCard(
    name="universal",
    summary="finds columns",
    classes=("background", "column"),
    architecture={"name": "unet", "options": {}},
    working={"pixel_size": 0.2},
    not_for="amorphous carbon",
)


@pytest.fixture
def run(capsys):
    """Run the command; returns (exit status, stdout, stderr)."""

    def call(*words):
        status = 0
        try:
            cli.main([str(w) for w in words])
        except SystemExit as stop:
            status = stop.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def served(monkeypatch):
    """Replace the server by a record of its calls; importing the real one takes a second."""
    calls = []

    class Server:
        @staticmethod
        def serve(page, *, file, host, port, token, open_browser, data_dir):
            calls.append(
                {"page": page, "file": file, "host": host, "port": port, "token": token}
                | {"open_browser": open_browser, "data_dir": data_dir}
            )

    monkeypatch.setitem(sys.modules, "atomnb.widgets.server", Server)
    return calls


@pytest.fixture
def one_model(monkeypatch):
    monkeypatch.setitem(atomnb.__dict__, "list_models", lambda: [CARD])

    def load_model(name):
        raise atomnb.errors.ModelError(f"there is no model {name!r}: choose one of universal.")

    monkeypatch.setitem(atomnb.__dict__, "load_model", load_model)


@pytest.fixture
def batch(monkeypatch):
    """Replace the batch by given rows; returns them and the calls made."""
    import atomnb.batch

    rows, calls = [], []

    def analyze_files(paths, out_dir, *, model, pixel_size, threshold, contrast, rules, overwrite, progress, on_row):
        calls.append((list(paths), out_dir, model, pixel_size, threshold, contrast, rules, overwrite))
        for row in rows:
            progress(0.5, "working")
            on_row(row)
        return rows

    monkeypatch.setattr(atomnb.batch, "analyze_files", analyze_files)
    monkeypatch.setitem(atomnb.__dict__, "load_model", lambda name: None)
    return rows, calls


def test_version(run):
    assert run("--version") == (0, f"atomnb {atomnb.__version__}\n", "")


def test_without_a_word_the_home_page_opens_on_this_machine_only(run, served):
    assert run()[0] == 0
    assert served == [
        {
            "page": "home",
            "file": None,
            "host": "127.0.0.1",
            "port": None,
            "token": None,
            "open_browser": True,
            "data_dir": None,
        }
    ]


def test_a_file_opens_in_find_atoms_with_options_on_either_side(run, served, tmp_path):
    file = tmp_path / "scan.dm3"
    file.write_bytes(b"")
    assert run("--port", 9000, file, "--no-browser")[0] == 0
    (call,) = served
    assert (call["page"], call["file"], call["port"], call["open_browser"]) == ("find_atoms", file, 9000, False)


@pytest.mark.parametrize("words", [["--host", "0.0.0.0"], ["lab", "--host", "0.0.0.0"]])
def test_another_address_needs_a_token(run, served, words):
    status, _, err = run(*words)
    assert status == 1 and "--token" in err and len(err.splitlines()) == 1
    assert served == []


def test_another_address_with_a_token_is_served(run, served):
    assert run("--host", "0.0.0.0", "--token", "sesame")[0] == 0
    assert (served[0]["host"], served[0]["token"]) == ("0.0.0.0", "sesame")


def test_a_mistyped_command_is_not_taken_for_a_file(run, served):
    status, _, err = run("analyse", "a.tif", "-o", "out")
    assert status == 1 and "did you mean `atomnb analyze`" in err
    status, _, err = run("nosuch.dm3")
    assert status == 1 and "there is no file 'nosuch.dm3'" in err
    assert served == []


def test_a_folder_is_pointed_to_data_and_analyze(run, served, tmp_path):
    status, _, err = run(tmp_path)
    assert status == 1 and "--data" in err and "analyze" in err


def test_lab_opens_the_notebooks_and_asks_no_other_host(run, monkeypatch, root):
    import jupyterlab.labapp

    calls = []
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    monkeypatch.setattr(jupyterlab.labapp.LabApp, "launch_instance", lambda argv: calls.append(argv))
    assert run("lab", "--port", 9001, "--no-browser", "--token", "sesame")[0] == 0
    (argv,) = calls
    assert argv[0] == str(root / "notebooks")
    assert {"--ServerApp.ip=127.0.0.1", "--ServerApp.port=9001", "--no-browser"} <= set(argv)
    assert "--IdentityProvider.token=sesame" in argv
    assert "--LabApp.news_url=None" in argv
    mine, ours = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert mine == "/mine"
    settings = json.loads((Path(ours) / "labconfig" / "page_config.json").read_text())
    assert settings["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"] is True


def test_analyze_hands_everything_on(run, batch, tmp_path):
    rows, calls = batch
    rows.append(BatchRow("a", "/d/a.tif", "done", atoms=12, pixel_size=0.2, seconds=1.0, messages=("5 % off",)))
    status, out, err = run(
        *("analyze", "a.tif", "d/*.tif", "-o", tmp_path, "--model", "m", "--pixel-size", 0.2),
        *("--threshold", 0.7, "--rules", "graphene", "--overwrite", "--contrast", "dark"),
    )
    assert calls == [(["a.tif", "d/*.tif"], tmp_path, "m", 0.2, 0.7, "dark", "graphene", True)]
    assert (status, err) == (0, "")
    assert "a.tif: 12 atoms, 0.2 Å/px" in out and "5 % off" in out and "summary.csv" in out


def test_analyze_fails_when_a_file_failed_and_says_which_and_why(run, batch, tmp_path):
    rows, _ = batch
    rows += [
        BatchRow("a", "/d/a.tif", "done", atoms=12, seconds=1.0),
        BatchRow("b", "/d/b.tif", "failed", error="the image is constant", traceback="Traceback ..."),
        BatchRow("c", "/d/c.tif", "kept", error="out/c exists already"),
    ]
    status, out, err = run("analyze", "d", "-o", tmp_path)
    assert status == 1
    assert "uncalibrated" in out
    assert "2 of 3 files gave no new result" in err
    assert "/d/b.tif: the image is constant" in err and "/d/c.tif: out/c exists already" in err
    assert "Traceback" not in out + err
    assert "Traceback ..." in run("analyze", "d", "-o", tmp_path, "--debug")[2]


def test_analyze_refuses_impossible_numbers(run, batch, tmp_path):
    assert "positive" in run("analyze", "a.tif", "-o", tmp_path, "--pixel-size", "-1")[2]
    assert run("analyze", "a.tif", "-o", tmp_path, "--threshold", "2")[0] == 2
    assert run("analyze", "a.tif")[0] == 2
    assert batch[1] == []


def test_defects_are_counted_by_name(run, batch, tmp_path):
    rows, calls = batch
    rows.append(BatchRow("a", "/d/a.tif", "done", atoms=12, seconds=1.0, defects="2 × V_S; 1 × V_S2"))
    out = run("analyze", "a.tif", "-o", tmp_path, "--rules", "mos2")[1]
    assert "defects: 2 × V_S; 1 × V_S2" in out and calls[0][5:7] == ("auto", "mos2")


def test_rules_are_listed_printed_and_checked_before_any_file(run, batch, tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_RULES", str(tmp_path))
    status, out, _ = run("rules")
    assert status == 0 and "graphene  " in out and "MoS2 monolayer" in out and str(tmp_path) in out
    assert "host: {motif: honeycomb" in run("rules", "graphene")[1]
    status, _, err = run("rules", "nosuch")
    assert status == 1 and "choose" in err and "graphene" in err
    status, _, err = run("analyze", "a.tif", "-o", tmp_path, "--rules", "nosuch")
    assert status == 1 and "no rules 'nosuch'" in err and batch[1] == []


def test_an_unknown_model_stops_before_any_file(run, one_model, tmp_path):
    status, _, err = run("analyze", "a.tif", "-o", tmp_path / "out", "--model", "nosuch")
    assert status == 1 and "choose one of universal" in err
    assert not (tmp_path / "out").exists()


def test_models_lists_cards_and_prints_one(run, one_model):
    status, out, _ = run("models")
    assert status == 0 and "universal  finds columns" in out
    status, out, _ = run("models", "universal")
    assert status == 0 and "not for: amorphous carbon" in out and "classes: background, column" in out
    assert json.loads(run("models", "--json")[1])[0]["name"] == "universal"
    assert json.loads(run("models", "universal", "--json")[1])["working"] == {"pixel_size": 0.2}
    status, _, err = run("models", "nosuch")
    assert status == 1 and err == "atomnb: there is no model 'nosuch': choose one of universal.\n"


def test_an_unexpected_error_is_one_line_unless_debug(run, monkeypatch):
    def broken():
        raise RuntimeError("lost\nthe thread")

    monkeypatch.setitem(atomnb.__dict__, "list_models", broken)
    assert run("models")[::2] == (1, "atomnb: RuntimeError: lost the thread (add --debug to see where)\n")
    with pytest.raises(RuntimeError, match="lost"):
        run("models", "--debug")


def test_help_and_import_load_nothing_heavy():
    """Torch, HyperSpy, pandas, matplotlib and the servers wait until they are needed."""
    script = (
        "import sys; import atomnb; first = set(sys.modules)\n"
        "from atomnb import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'hyperspy', 'pandas', 'matplotlib', 'scipy', 'skimage', 'voila', 'jupyterlab', 'dask'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted((heavy | {'numpy'}) & first))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[] []"


def test_the_installed_command_runs():
    command = Path(sys.executable).with_name("atomnb")
    done = subprocess.run([command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"atomnb {atomnb.__version__}\n")
