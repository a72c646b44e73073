"""Batch analysis: every file gets its row, nothing is lost, nothing is overwritten unasked."""

import csv
import os
from types import SimpleNamespace

import numpy as np
import pytest

import atomnb
from atomnb import AtomTable, Micrograph
from atomnb.batch import (
    SUMMARY,
    analyze_files,
    count_by_name,
    expand_inputs,
    folder_names,
    one_line,
    read_summary,
)
from atomnb.errors import AtomnbError, CalibrationWarning, CancelledError, ImageError
from atomnb.locate.crystal import Crystal
from atomnb.said import warn


class StandIn:
    """An analysis of a known image; saves the one file by which a result is recognised."""

    def __init__(self, image, threshold):
        self.image = image
        self.atoms = AtomTable.from_positions([[5.0, 5.0], [9.0, 9.0]])
        self.pixel_size = image.pixel_size
        self.scale = SimpleNamespace(spacing_px=4.0, spacing_angstrom=None)
        self.messages = ("the lattice says otherwise",)
        self.threshold = threshold
        self.defects = None

    def save(self, folder):
        folder.mkdir(parents=True)
        (folder / "atoms.csv").write_text("y,x\n5,5\n9,9\n")
        (folder / "result.json").write_text(f'{{"threshold": {self.threshold}}}')


@pytest.fixture
def analyzed(monkeypatch):
    """Replace reading and analysing by something instant; returns the calls made."""
    calls = []

    def read_image(path, *, pixel_size=None):
        if path.name.startswith("bad"):
            raise ImageError("the image is constant: choose another channel.")
        if path.name.startswith("odd"):
            raise RuntimeError("two\nlines")
        if not path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(path))
        if path.name.startswith("noscale"):
            warn("the scale has no unit", CalibrationWarning, stacklevel=2)
        return Micrograph(np.eye(16, dtype=np.float32), pixel_size=pixel_size, name=path.stem)

    def analyze(image, *, model, threshold, contrast, rules=None, progress=None):
        assert contrast == "auto"
        calls.append((image.name, model, threshold, image.pixel_size, rules))
        if progress:
            progress(0.5, "segmenting")
        return StandIn(image, threshold)

    # Set in the module's dict: asking for the lazy names first would load torch.
    monkeypatch.setitem(atomnb.__dict__, "read_image", read_image)
    monkeypatch.setitem(atomnb.__dict__, "analyze", analyze)
    return calls


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_a_bad_file_does_not_stop_the_rest(analyzed, tmp_path):
    files = touch(tmp_path / "in", "a.tif", "bad.tif", "odd.tif", "c.tif")
    rows = analyze_files([*files, tmp_path / "missing.tif"], tmp_path / "out")
    assert [row.status for row in rows] == ["done", "failed", "failed", "done", "failed"]
    assert rows[1].error == "the image is constant: choose another channel."
    assert rows[2].error == "RuntimeError: two lines"
    assert "read_image" in rows[2].traceback
    assert "missing.tif" in rows[4].error and "No such file" in rows[4].error
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", "c", SUMMARY]


def test_the_summary_holds_every_file_in_order(analyzed, tmp_path):
    files = touch(tmp_path, "b.tif", "bad.tif", "a.tif")
    rows = analyze_files(files, tmp_path / "out", pixel_size=0.2)
    with (tmp_path / "out" / SUMMARY).open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert [line["folder"] for line in lines] == ["b", "bad", "a"]
    assert lines[0]["atoms"] == "2" and lines[0]["pixel_size"] == "0.2" and lines[0]["spacing_px"] == "4.0"
    assert lines[1]["atoms"] == "" and "constant" in lines[1]["error"]
    assert lines[0]["messages"] == "the lattice says otherwise"
    assert "traceback" not in lines[0]
    assert [r.folder for r in read_summary(tmp_path / "out").values()] == [r.folder for r in rows]


def test_options_reach_the_analysis(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    analyze_files([file], tmp_path / "out", model="other", pixel_size=0.3, threshold=0.7, rules="graphene")
    assert analyzed == [("a", "other", 0.7, 0.3, "graphene")]


@pytest.mark.parametrize(
    ("crystal", "used", "said"),
    [
        (Crystal("graphene", "graphene-si", "graphene", "seen"), ("graphene-si", "graphene"), "looks like graphene"),
        (None, ("universal", "generic"), "not recognised"),
    ],
)
def test_auto_takes_what_suits_each_crystal(analyzed, tmp_path, monkeypatch, crystal, used, said):
    monkeypatch.setitem(atomnb.__dict__, "recognize_crystal", lambda image, *, contrast: crystal)
    (file,) = touch(tmp_path, "a.tif")
    (row,) = analyze_files([file], tmp_path / "both", model="auto", rules="auto")
    analyze_files([file], tmp_path / "rules", rules="auto")
    analyze_files([file], tmp_path / "model", model="auto")
    assert said in row.messages[0]
    assert [(call[1], call[4]) for call in analyzed] == [used, ("universal", used[1]), (used[0], None)]


def test_warnings_of_reading_become_messages_and_are_not_raised(analyzed, tmp_path):
    (file,) = touch(tmp_path, "noscale.tif")
    (row,) = analyze_files([file], tmp_path / "out")
    assert row.messages == ("the scale has no unit", "the lattice says otherwise")
    assert read_summary(tmp_path / "out")["noscale"] == row


def test_a_result_is_kept_unless_overwriting_is_asked_for(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    out = tmp_path / "out"
    analyze_files([file], out, threshold=0.5)
    (row,) = analyze_files([file], out, threshold=0.9)
    assert row.status == "kept" and not row.ok and "overwrite" in row.error
    assert "0.5" in (out / "a" / "result.json").read_text()
    assert read_summary(out)["a"].status == "done"  # the line of the result that is there
    (row,) = analyze_files([file], out, threshold=0.9, overwrite=True)
    assert row.ok
    assert "0.9" in (out / "a" / "result.json").read_text()
    assert sorted(p.name for p in out.iterdir()) == ["a", SUMMARY]


def test_overwriting_spares_a_folder_that_is_no_result(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    (precious,) = touch(tmp_path / "out" / "a", "thesis.tex")
    (row,) = analyze_files([file], tmp_path / "out", overwrite=True)
    assert row.status == "failed" and "no result of atomnb" in row.error
    assert precious.exists()


def test_a_failing_save_leaves_the_old_result_and_no_debris(analyzed, tmp_path, monkeypatch):
    (file,) = touch(tmp_path, "a.tif")
    out = tmp_path / "out"
    analyze_files([file], out, threshold=0.5)

    def full_disk(self, folder):
        folder.mkdir()
        (folder / "atoms.csv").write_text("y,")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StandIn, "save", full_disk)
    (row,) = analyze_files([file], out, overwrite=True)
    assert row.error == "No space left on device"
    assert "0.5" in (out / "a" / "result.json").read_text()
    assert sorted(p.name for p in out.iterdir()) == ["a", SUMMARY]


def test_files_of_one_stem_get_folders_of_their_own_in_every_run(analyzed, tmp_path):
    files = touch(tmp_path / "x", "a.tif", "a.png") + touch(tmp_path / "y", "a.tif", "A.tif")
    out = tmp_path / "out"
    first = analyze_files(files, out)
    assert [r.folder for r in first] == ["a", "a-2", "a-3", "A-4"]
    assert all(r.ok for r in first)
    again = analyze_files(files[::-1], out, overwrite=True)
    assert {r.file: r.folder for r in again} == {r.file: r.folder for r in first}


def test_a_later_run_never_takes_the_folder_of_another_file(analyzed, tmp_path):
    one, two = touch(tmp_path / "x", "a.tif") + touch(tmp_path / "y", "a.tif")
    analyze_files([one], tmp_path / "out")
    (row,) = analyze_files([two], tmp_path / "out", overwrite=True)
    assert row.ok and row.folder == "a-2"
    assert len(read_summary(tmp_path / "out")) == 2


def test_a_file_called_like_the_summary_does_not_collide(tmp_path):
    assert folder_names([tmp_path / f"{SUMMARY}.tif"]) == [f"{SUMMARY}-2"]


def test_folders_patterns_and_repeats(tmp_path):
    a, b, _ = touch(tmp_path / "in", "a.tif", "b.DM3", "notes.txt")
    (deep,) = touch(tmp_path / "in" / "deep", "c.tif")
    touch(tmp_path / "in" / "a", "result.json", "probability.tif")
    touch(tmp_path / "in", ".hidden.tif", "scan.emi")
    assert expand_inputs([tmp_path / "in"]) == [a, b]
    assert expand_inputs([f"{tmp_path}/in/**/*.tif"]) == [a, deep]
    assert expand_inputs([a, f"{tmp_path}/in/*.tif", a]) == [a]
    assert expand_inputs([tmp_path / "gone.tif"]) == [tmp_path / "gone.tif"]
    (bracket,) = touch(tmp_path / "in", "scan[1].tif")
    assert expand_inputs([bracket]) == [bracket]


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(AtomnbError, match="no files were given"):
        analyze_files([], tmp_path)
    with pytest.raises(AtomnbError, match="no file matches"):
        expand_inputs([f"{tmp_path}/*.tif"])
    with pytest.raises(AtomnbError, match="holds no image files"):
        expand_inputs([tmp_path])


def test_the_output_must_be_a_folder_of_ours(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    with pytest.raises(AtomnbError, match="is a file"):
        analyze_files([file], file)
    (tmp_path / SUMMARY).write_text("my,own,table\n1,2,3\n")
    with pytest.raises(AtomnbError, match="choose another output folder"):
        analyze_files([file], tmp_path)
    assert (tmp_path / SUMMARY).read_text() == "my,own,table\n1,2,3\n"


def test_progress_runs_over_the_whole_batch_and_rows_come_as_they_are_done(analyzed, tmp_path):
    files = touch(tmp_path, "a.tif", "b.tif")
    heard, rows = [], []
    analyze_files(
        files,
        tmp_path / "out",
        progress=lambda f, m: heard.append((f, m)),
        on_row=lambda r: rows.append(r.folder),
    )
    assert heard == [(0.25, "a.tif: segmenting"), (0.75, "b.tif: segmenting")]
    assert rows == ["a", "b"]


def test_cancelling_keeps_what_is_finished(analyzed, tmp_path):
    files = touch(tmp_path, "a.tif", "b.tif")

    def progress(fraction, message):
        if fraction > 0.5:
            raise CancelledError("stopped by the user")

    with pytest.raises(CancelledError):
        analyze_files(files, tmp_path / "out", progress=progress)
    assert list(read_summary(tmp_path / "out")) == ["a"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a", SUMMARY]


def test_results_can_be_read_by_others(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    before = os.umask(0o022)
    try:
        analyze_files([file], tmp_path / "out")
    finally:
        os.umask(before)
    assert (tmp_path / "out" / "a").stat().st_mode & 0o055 == 0o055
    assert (tmp_path / "out" / SUMMARY).stat().st_mode & 0o044 == 0o044


def test_rows_survive_the_summary_unchanged(analyzed, tmp_path):
    (file,) = touch(tmp_path, "a.tif")
    (row,) = analyze_files([file], tmp_path / "out", pixel_size=0.25)
    assert read_summary(tmp_path / "out")["a"] == row


def test_defects_in_one_line():
    import pandas as pd

    names = ["V_S", "three-fold Si", "V_S", "unseen: Va1-5-5-5-5-5-7-7-7-7-7#5d59"]
    kinds = ["vacancy", "dopant", "vacancy", "boundary"]
    one_line = count_by_name(pd.DataFrame({"name": names, "kind": kinds}))
    assert one_line == "2 × V_S; 1 × boundary #5d59; 1 × three-fold Si"
    assert count_by_name(pd.DataFrame({"name": [], "kind": []})) == ""


def test_errors_in_one_line():
    assert one_line(ImageError("too\n  small")) == "too small"
    assert one_line(KeyError("a")) == "KeyError: 'a'"
    assert one_line(MemoryError()) == "MemoryError"
    assert one_line(FileNotFoundError(2, "No such file", "a.tif")) == "a.tif: No such file"
    assert one_line(FileNotFoundError("there is no file a.tif")) == "there is no file a.tif"


def test_a_batch_from_the_command_line_end_to_end(tmp_path, rng, capsys):
    """A square lattice of 2 Å at 0.2 Å/px, bright and clear, beside a file that is no image."""
    import json

    import tifffile

    from atomnb.cli import main

    y, x = np.mgrid[:128, :128]
    lattice = np.arange(8.3, 122, 10.0)
    columns = sum(np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.0**2)) for cy in lattice for cx in lattice)
    source = tmp_path / "in"
    source.mkdir()
    np.save(source / "square.npy", rng.poisson(100 * columns + 5).astype(np.float32))
    (source / "torn.tif").write_bytes(b"II*")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["analyze", str(source), "-o", str(out), "--pixel-size", "0.2"])
    assert stop.value.code == 1
    said = capsys.readouterr()
    assert "torn.tif" in said.err and "Traceback" not in said.err
    assert sorted(p.name for p in out.iterdir()) == ["square", SUMMARY]
    rows = read_summary(out)
    assert rows["torn"].status == "failed"
    assert rows["square"].atoms == len(lattice) ** 2
    assert rows["square"].spacing_angstrom == pytest.approx(2.0, rel=0.02)
    names = sorted(p.name for p in (out / "square").iterdir())
    assert names == ["atoms.csv", "overlay.png", "probability.tif", "result.json"]
    assert tifffile.imread(out / "square" / "probability.tif").shape == (2, 128, 128)
    result = json.loads((out / "square" / "result.json").read_text())
    assert result["provenance"]["model"] == "universal"
    with pytest.raises(SystemExit):
        main(["analyze", str(source / "square.npy"), "-o", str(out), "--pixel-size", "0.2"])
    assert "exists already" in capsys.readouterr().err


def test_defects_from_the_command_line(tmp_path, capsys):
    import tifffile

    from atomnb.cli import main

    image = atomnb.sample_image("graphene-si").data
    tifffile.imwrite(tmp_path / "sheet.tif", image)
    words = ["--pixel-size", "0.125", "--model", "graphene-si", "--rules", "graphene"]
    with pytest.raises(SystemExit) as stop:
        main(["analyze", str(tmp_path / "sheet.tif"), "-o", str(tmp_path / "out"), *words])
    assert stop.value.code == 0
    assert "6 × three-fold Si" in capsys.readouterr().out
    (row,) = read_summary(tmp_path / "out").values()
    assert "6 × three-fold Si" in row.defects
    with (tmp_path / "out" / "sheet" / "defects.csv").open(newline="", encoding="utf-8") as file:
        assert sum(line["name"] == "three-fold Si" for line in csv.DictReader(file)) == 6
