"""The state of Find atoms does what the page promises, without a browser."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import atomnb
from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError, CancelledError
from atomnb.widgets.find_atoms_state import FLOOR, Found

from .conftest import honeycomb_atoms

EXPECTED_ATOMS = 10 * 11


@pytest.fixture
def analysed(state):
    state.open_path("lattice.npy")
    state.set_pixel_size(0.2)
    state.find()
    assert state.report is None, state.report
    return state


def test_opening_a_file_shows_it(state, square_lattice):
    state.open_path("lattice.npy")
    assert state.report is None
    assert state.opened.image.shape == square_lattice.shape
    assert state.opened.source.name == "lattice.npy"
    assert state.pixel_size is None
    assert state.spacing_px == pytest.approx(12, rel=0.03)


def test_a_broken_file_becomes_a_report_and_the_old_image_stays(state):
    state.open_path("lattice.npy")
    before = state.opened
    state.open_path("broken.dm3")
    assert "opening the image" in state.report.title
    assert "Traceback" in state.report.details
    assert state.opened is before


def test_nothing_outside_the_folder_is_opened(state, tmp_path, square_lattice):
    np.save(tmp_path / "secret.npy", square_lattice)
    for path in ("../secret.npy", str(tmp_path / "secret.npy"), "inner/../../secret.npy", "missing.npy"):
        with pytest.raises(AtomnbError, match="not in the data folder"):
            state.open_path(path)


def test_finding_gives_the_atoms_of_the_lattice(analysed):
    assert len(analysed.shown) == pytest.approx(EXPECTED_ATOMS, abs=3)
    distance, label = analysed.values("distance")
    assert np.median(distance) == pytest.approx(2.4, rel=0.02)
    assert "Å" in label


def test_the_threshold_filters_without_a_new_analysis(analysed):
    found = analysed.found
    middle = float(found.analysis.atoms.df["score"].median())
    analysed.threshold = middle
    few = len(analysed.shown)
    analysed.threshold = FLOOR
    many = len(analysed.shown)
    assert analysed.found is found
    assert 0 < few < many
    score = found.analysis.atoms.df["score"]
    assert many == len(score)
    assert few == (score >= middle).sum()


def test_the_shown_code_gives_the_same_atoms(analysed, monkeypatch, tmp_path):
    analysed.threshold = 0.6
    monkeypatch.chdir(analysed.folder.root)
    names = {}
    exec(analysed.code(), names)
    np.testing.assert_array_equal(names["atoms"].positions_yx, analysed.result().positions_yx)
    assert (analysed.folder.root / "atoms.csv").exists()


def test_known_spacing_and_two_points_set_the_scale(state):
    state.open_path("lattice.npy")
    state.use_known_spacing(3.0)
    assert state.pixel_size == pytest.approx(3.0 / 12, rel=0.03)
    with pytest.raises(AtomnbError, match="two points"):
        state.use_points(4.0)
    state.points = [10.0, 10.0, 10.0, 50.0]
    state.use_points(4.0)
    assert state.pixel_size == pytest.approx(0.1)
    assert state.scale_origin == "from two points"


def test_a_changed_setting_marks_the_result_as_old(analysed):
    assert not analysed.stale
    analysed.set_pixel_size(0.25)
    assert analysed.stale
    analysed.find()
    assert not analysed.stale
    assert analysed.found.analysis.pixel_size == 0.25


def test_a_range_of_the_histogram_selects_its_atoms(analysed):
    values, _ = analysed.values("intensity")
    middle = np.median(values)
    analysed.select_range("intensity", -np.inf, middle)
    assert len(analysed.selected) == (values <= middle).sum()
    chosen = analysed.atoms.df["intensity"].to_numpy()[analysed.selected]
    assert chosen.max() <= middle


def test_frames_of_a_stack(state):
    state.open_path("inner/stack.npy")
    assert state.opened.image.n_frames == 3
    state.show_frame(1)
    np.testing.assert_array_equal(state.opened.picture.levels[0][0], state.opened.picture.tile(0, 0, 0)[0])
    state.find()
    assert "frame(1)" in state.code()
    assert len(state.shown) == pytest.approx(EXPECTED_ATOMS, abs=3)
    state.show_frame(2)
    assert state.found is None, "the atoms of another frame must not stay on screen"


def test_a_whole_stack_keeps_its_atoms_when_the_frame_changes(state):
    state.open_path("inner/stack.npy")
    state.whole_stack = True
    state.find()
    assert len(state.result()) == pytest.approx(3 * EXPECTED_ATOMS, abs=9)
    state.show_frame(2)
    assert state.found is not None
    assert set(state.atoms.df["frame"]) == {2}


def test_cancel_leaves_no_result_and_no_error(state, monkeypatch):
    def slow(image, *, progress, **_options):
        state.jobs.cancel()
        progress(0.5, "half way")
        raise AssertionError("the job went on after it was cancelled")

    state.open_path("lattice.npy")
    monkeypatch.setattr(atomnb, "analyze", slow)
    state.find()
    assert state.found is None
    assert state.report is None
    assert not state.jobs.busy


def test_an_error_of_the_analysis_becomes_a_report(state, monkeypatch):
    def broken(image, **_options):
        raise RuntimeError("the cable is loose")

    state.open_path("lattice.npy")
    monkeypatch.setattr(atomnb, "analyze", broken)
    state.find()
    assert "the cable is loose" in state.report.message
    assert not state.jobs.busy


def test_progress_raises_once_cancelled(state):
    seen = []

    def work(progress):
        state.jobs.cancel()
        with pytest.raises(CancelledError):
            progress(0.1)
        seen.append("stopped")
        progress(0.2)

    state.jobs.run("test", work, done=seen.append, failed=seen.append)
    assert seen == ["stopped"]


def test_samples_open_with_their_credit(state):
    state.open_sample("si-110")
    assert state.opened.source.kind == "sample"
    assert state.opened.image.shape == (512, 512)


def test_a_model_that_names_atoms_gives_their_names_and_the_empty_sites(state):
    state.open_sample("mos2")
    assert state.names == ()
    state.model = "tmd"
    state.find()
    assert state.report is None, state.report
    assert state.names == ("metal", "chalcogen pair", "single chalcogen")
    assert set(state.atoms.df["species"]) <= set(state.names)
    assert 1 <= len(state.vacancies) < 0.01 * len(state.atoms)


def test_a_topograph_is_seen_without_its_tilt(state, monkeypatch, square_lattice):
    tilted = square_lattice + 40 * np.arange(square_lattice.shape[1])
    topograph = atomnb.Micrograph(tilted, pixel_size=0.2, metadata={"technique": "STM"})
    monkeypatch.setattr(atomnb, "read_image", lambda path, channel: topograph)
    state.open_path("lattice.npy")
    assert state.report is None, state.report
    picture = state.opened.picture.levels[0]
    columns = picture.mean(axis=0) / np.iinfo(picture.dtype).max
    assert np.ptp(columns) < 0.5, "the tilt hides the atoms"
    assert state.opened.scale.spacing_px == pytest.approx(12, rel=0.03)


def test_an_uploaded_file_says_so_in_the_code_and_keeps_its_channels(state, tmp_path, square_lattice):
    np.save(tmp_path / "mine.npy", square_lattice)
    state.open_upload(tmp_path / "mine.npy")
    state.find()
    assert "# the file you uploaded" in state.code() and "read_image('mine.npy')" in state.code()
    state.open_channel(0)
    assert state.report is None, state.report
    assert state.opened.source.kind == "upload"


def test_the_code_finds_a_file_of_the_folder_from_anywhere(analysed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(analysed.code(), names)
    assert len(names["atoms"]) == len(analysed.shown)


def crystal_found(state, model: str, brightness=(1, 1), bond: float = 1.44):
    """`state` after an analysis by a model of one class of what is a honeycomb, with doubtful atoms in its middle."""
    sheet = honeycomb_atoms(bond, brightness)
    rng = np.random.default_rng(0)
    doubtful = AtomTable.from_positions(rng.uniform(0, 200, (200, 2)), pixel_size=sheet.pixel_size, shape=sheet.shape)
    tables = [t.df.assign(score=score, frame=0) for t, score in ((sheet, 0.9), (doubtful, 0.3))]
    atoms = AtomTable(pd.concat(tables, ignore_index=True), sheet.pixel_size, sheet.shape)
    analysis = SimpleNamespace(
        atoms=atoms, classes=("background", "atom"), messages=(), scale=SimpleNamespace(spacing_px=10.0)
    )
    state.found = Found(analysis, SimpleNamespace(model=model), 0, None)
    return state


def test_the_hint_names_a_model_where_one_names_the_atoms(state):
    hint = crystal_found(state, "universal").hint
    assert "graphene" in hint and "The model graphene-si names its atoms" in hint


@pytest.mark.parametrize("model", ["universal", "universal-ensemble"])
def test_no_model_is_said_to_name_the_atoms_of_boron_nitride(state, model):
    hint = crystal_found(state, model, brightness=(1, 1.8)).hint
    assert "boron nitride" in hint and "rules hbn" in hint and "names its atoms" not in hint


def test_the_crystal_is_looked_for_once_for_each_analysis(state, monkeypatch):
    looked = []
    monkeypatch.setattr("atomnb.locate.crystal.crystal_of", looked.append)
    hints = [crystal_found(state, "universal").hint, state.hint, state.hint, crystal_found(state, "universal").hint]
    assert hints == [""] * 4 and len(looked) == 2
