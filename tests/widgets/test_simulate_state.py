"""The state of Simulate does what the page promises, without a browser."""

import re

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from atomnb.data.labelled_set import open_labelled_set
from atomnb.errors import AtomnbError
from atomnb.simulate.class_schemes import SCHEMES
from atomnb.simulate.exposures import make_exposures
from atomnb.simulate.ideal import ideal_image
from atomnb.simulate.structures import create_structure
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs
from atomnb.widgets.simulate_request import zone_axis_of
from atomnb.widgets.simulate_state import SimulateState


@pytest.fixture
def state(tmp_path):
    """A small sheet, seen without noise to speak of."""
    made = SimulateState(
        folder=DataFolder(tmp_path), preview=Jobs(threaded=False), jobs=Jobs(threaded=False), cache=tmp_path / "cache"
    )
    made.size, made.frame = 30.0, 96
    return made


@pytest.fixture
def shown(state):
    state.render()
    assert state.report is None, state.report
    return state


def run(code: str) -> dict:
    names: dict = {}
    exec(code, names)
    return names


def test_the_first_image_shows_vacancies_among_columns(shown):
    assert shown.shown.classes["S"] >= 1 and shown.shown.classes["vacancy"] >= 0
    assert shown.shown.classes["Mo"] > 10
    assert shown.shown.scene.image.shape == (96, 96)
    assert not shown.stale


def test_the_shown_code_gives_the_same_image(shown):
    shown.rotation_deg, shown.cs_um = 17.0, 2.0
    shown.render()
    scene = run(shown.code())["scene"]
    np.testing.assert_array_equal(scene.image, shown.shown.scene.image)
    np.testing.assert_array_equal(scene.class_map, shown.shown.scene.class_map)


@pytest.mark.parametrize("key", ["element", "columns", "defect", "tmd"])
def test_the_code_knows_every_scheme(shown, key):
    assert key in shown.shown.schemes
    shown.scheme = key
    shown.render()
    scene = run(shown.code())["scene"]
    np.testing.assert_array_equal(scene.class_map, shown.shown.scene.class_map)


def test_a_higher_dose_gives_less_noise_from_the_same_simulation(shown):
    held = shown._held["image"][1]
    shown.distortions = dict.fromkeys(shown.distortions, 0.0)

    def roughness(dose: float) -> float:
        shown.dose = dose
        shown.render()
        image = shown.shown.scene.image
        return float(np.abs(np.diff(image, axis=0)).mean() / image.mean())

    assert roughness(20.0) > 2 * roughness(20_000.0)
    assert shown._held["image"][1] is held


def test_another_structure_takes_its_own_options_and_scheme(shown):
    shown.scheme = "tmd"
    shown.choose_structure("graphene-si")
    shown.render()
    assert shown.report is None
    assert shown.options == {} and set(shown.shown.classes) >= {"C", "Si"}
    assert "tmd" not in shown.shown.schemes and "graphene-si" in shown.shown.schemes


def test_a_bad_option_becomes_a_report_and_the_old_image_stays(shown):
    before = shown.shown
    shown.options = {"v_x": 10_000}
    shown.render()
    assert "simulating the image" in shown.report.title
    assert shown.shown is before and shown.stale
    shown.options = {"v_x": 1}
    shown.render()
    assert shown.report is None and not shown.stale


def test_multislice_waits_to_be_asked(shown, monkeypatch):
    before = shown.shown
    shown.choose_engine("multislice")
    shown.detector = "abf"
    shown.render()
    assert shown.shown is before and shown.awaits_multislice
    shown.choose_engine("fast")
    assert shown.detector == "haadf"


def test_a_set_holds_every_structure_and_its_code_gives_the_same(shown, monkeypatch, tmp_path):
    shown.set_structures, shown.set_images = 3, 2
    shown.build_set()
    assert shown.report is None, shown.report
    assert (shown.built.path, shown.built.images) == ("sets/mos2-haadf.h5", 6)
    found = open_labelled_set(tmp_path / shown.built.path)
    assert len(found) == 6 and len(set(found.groups)) == 3
    assert found.classes == shown.built.classes == ("Mo", "S", "S2", "vacancy")
    monkeypatch.chdir(tmp_path)
    run(shown.set_code())
    again = open_labelled_set(tmp_path / "mos2-haadf.h5")
    np.testing.assert_array_equal(again[5].image, found[5].image)
    np.testing.assert_array_equal(again[5].class_map, found[5].class_map)


@pytest.mark.parametrize("varied", [True, False])
def test_the_microscopes_of_a_set_differ_only_if_asked_to(shown, varied, tmp_path):
    shown.set_vary_optics, shown.set_structures, shown.set_images = varied, 3, 1
    code = shown.set_code()
    compile(code, "code", "exec")
    assert ("sample_optics" in code) == varied


def test_a_cancelled_set_leaves_nothing(shown, tmp_path):
    def stop(change):
        if change["new"] > 0.5:
            shown.jobs.cancel()

    shown.set_structures, shown.set_images = 6, 30
    shown.jobs.observe(stop, "fraction")
    shown.build_set()
    assert shown.built is None and shown.report is None
    assert list((tmp_path / "sets").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "a/b", "/etc/x", ".hidden"])
def test_sets_stay_in_their_folder(shown, name):
    shown.set_name = name
    with pytest.raises(AtomnbError, match="cannot be called"):
        shown.build_set()


def test_doses_the_wrong_way_round_are_refused(shown):
    shown.set_doses = (500.0, 100.0)
    with pytest.raises(AtomnbError, match="the lowest first"):
        shown.build_set()


# ---------- the user's own file ----------
@pytest.fixture
def crystal(state, tmp_path):
    """SrTiO3 as a CIF in the data folder, chosen."""
    from ase.spacegroup import crystal

    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    cell = crystal(("Sr", "Ti", "O"), sites, spacegroup=221, cellpar=[3.905] * 3 + [90] * 3)
    path = tmp_path / "perovskite of mine.cif"
    cell.write(path)
    state.choose_file(path)
    state.thickness = 39.0
    state.render()
    assert state.report is None, state.report
    return state


def test_a_file_of_the_users_is_seen_along_its_zone_axis(crystal):
    shown = crystal.shown
    assert set(shown.classes) == {"Sr", "TiO", "O"}
    assert shown.structure.thickness_angstrom == pytest.approx(39.05)
    crystal.zone_axis = (1, 1, 0)
    crystal.render()
    assert crystal.report is None, crystal.report
    assert set(crystal.shown.classes) == {"SrO", "Ti", "O"}
    assert crystal.shown.structure.provenance["zone_axis"] == [1, 1, 0]


def test_the_class_map_of_a_file_has_each_column_at_its_place(crystal):
    scene, scheme = crystal.shown.scene, crystal.shown.scheme
    y, x = np.round(scene.positions_yx).astype(int).T
    inside = (y > 2) & (y < 93) & (x > 2) & (x < 93)
    assert inside.sum() > 20
    np.testing.assert_array_equal(scene.class_map[y, x][inside], scene.column_class[inside])
    assert {str(name) for name in scene.species} <= set(scheme.classes)


THICK = pytest.mark.filterwarnings("ignore:the specimen is:atomnb.errors.RangeWarning")
"""The crystal of these tests is thicker than the fast images are true to; the code says so when it runs."""


@THICK
def test_the_code_reads_the_same_file(crystal):
    crystal.tilt_about_x, crystal.max_strain, crystal.size = 8.0, 0.02, 25.0
    crystal.render()
    code = crystal.code()
    assert "read_structure" in code and "tilt_mrad=(8, 0)" in code and "create_structure" not in code
    assert set(crystal.shown.classes) == {"Sr", "TiO", "O"}, "leaning columns are the same columns"
    scene = run(code)["scene"]
    np.testing.assert_array_equal(scene.image, crystal.shown.scene.image)
    np.testing.assert_array_equal(scene.class_map, crystal.shown.scene.class_map)


@THICK
def test_a_set_from_a_file_is_named_after_it(crystal, tmp_path, monkeypatch):
    crystal.set_structures, crystal.set_images = 2, 1
    crystal.build_set()
    assert crystal.report is None, crystal.report
    assert crystal.built.path == "sets/perovskite_of_mine-haadf.h5"
    monkeypatch.chdir(tmp_path)
    run(crystal.set_code())
    found, again = (open_labelled_set(tmp_path / p) for p in (crystal.built.path, "perovskite_of_mine-haadf.h5"))
    np.testing.assert_array_equal(again[1].image, found[1].image)


def test_a_changed_file_is_read_again(crystal, tmp_path):
    before = crystal.shown
    text = crystal.file.path.read_text()
    crystal.file.path.write_text(text.replace("3.905", "4.200"))
    crystal.choose_file(crystal.file.path)
    crystal.render()
    assert crystal.shown.structure.size_angstrom != before.structure.size_angstrom


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("lost.cif", "data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n"
                     "_atom_site_fract_z\nSi 0 0 0\n", "has no cell.*_cell_length_a"),
        ("twice.xyz", '2\nLattice="5 0 0 0 5 0 0 0 5" pbc="T T T"\nSi 0 0 0\nSi 0.3 0 0\n', "overlap.*Check the cell"),
        ("skew.xyz", '1\nLattice="4 0 0 1.13 5.37 0 0.71 1.93 7.71"\nSi 0 0 0\n', "zone axis.*max_strain"),
        ("rubbish.xyz", "nothing\n", "cannot be read as a structure"),
    ],
)  # fmt: skip
def test_a_file_that_will_not_do_is_reported_with_its_remedy(shown, tmp_path, name, content, message):
    before = shown.shown
    (tmp_path / name).write_text(content)
    shown.choose_file(tmp_path / name)
    if name.startswith("skew"):
        shown.zone_axis, shown.max_strain = (1, 2, 3), 0.0
    shown.render()
    assert re.search(message, shown.report.message), shown.report.message
    assert shown.shown is before and shown.stale
    shown.choose_structure("mos2")
    shown.render()
    assert shown.report is None


@pytest.mark.parametrize(
    ("text", "axis"),
    [("1 1 0", (1, 1, 0)), ("[1, -1, 0]", (1, -1, 0)), ("1-10", (1, -1, 0)), ("2 -1 -1 0", (2, -1, -1, 0))],
)
def test_zone_axes_are_read_as_people_write_them(text, axis):
    assert zone_axis_of(text) == axis


@pytest.mark.parametrize("text", ["", "1 1", "a b c", "1.5 0 0", "1 2 3 4 5"])
def test_other_zone_axes_are_refused(text):
    with pytest.raises(AtomnbError, match="whole numbers"):
        zone_axis_of(text)


def bright_field_stand_in(structure, depth: float):
    """Columns that darken 70 % of the beam by the share `depth` of it, lighter ones by half of that, at 0.1 Å."""
    columns = structure.columns()
    shape = np.round(np.array(structure.size_angstrom) / 0.1).astype(int)
    step = np.array(structure.size_angstrom) / shape
    image = np.zeros(shape)
    at = tuple((np.round(columns.positions_yx / step).astype(int) % shape).T)
    np.add.at(image, at, np.where(columns.heaviest_z > 10, 1.0, 0.5))
    spread = ndimage.gaussian_filter(image, 0.4 / step, mode="wrap")
    return 0.7 * (1 - depth * spread / spread.max())


def test_columns_are_seen_in_annular_bright_field_at_the_dose_the_page_starts_with(state):
    """Most electrons that ABF detects are background: a dose per column gave no more than noise."""
    state.choose_structure("srtio3-001")
    state.choose_engine("multislice")
    state.detector, state.frame = "abf", 256
    config = state.request.exposure.config()
    assert config.dose_unit == "electrons_per_angstrom2"
    structure = create_structure("srtio3-001", size_angstrom=(30, 30))
    seen = ideal_image(
        bright_field_stand_in(structure, 0.3), structure, pixel_size=0.1, scheme=SCHEMES["columns"], dark=True
    )
    scene = next(make_exposures(seen, 1, config=config))
    away = cKDTree(scene.positions_yx).query(np.argwhere(np.ones(scene.image.shape)))[0].reshape(scene.image.shape)
    columns, between = scene.image[away < 1.5], scene.image[away > 1.2 / scene.pixel_size]
    assert (between.mean() - columns.mean()) / between.std() > 3


def test_dark_field_counts_what_is_detected_as_before(state):
    config = state.request.exposure.config()
    assert (config.dose, config.dose_unit) == ((1000.0, 1000.0), "electrons_per_column")
    assert state.plan.config(state.request.exposure).dose == (100.0, 3000.0)
    state.choose_engine("multislice")
    state.detector = "bf"
    plan = state.plan.config(state.request.exposure)
    assert (plan.dose, plan.dose_unit) == ((5000.0, 100_000.0), "electrons_per_angstrom2")


def test_building_a_set_of_structures_smaller_than_the_frame_warns(shown):
    shown.set_structures, shown.set_images = 2, 1
    shown.build_set()
    assert shown.report is None and shown.built.messages == ()
    shown.size = 8.0
    shown.build_set()
    assert shown.report is None, shown.report
    assert len(shown.built.messages) == 1 and "repeats side by side" in shown.built.messages[0]


def test_a_perfect_crystal_may_repeat(shown):
    shown.choose_structure("graphene")
    shown.size, shown.set_structures, shown.set_images = 8.0, 2, 1
    shown.render()
    shown.build_set()
    assert shown.report is None and shown.built.messages == ()


def test_the_code_of_a_set_counts_doses_as_the_image_shown_does(shown):
    """While multislice for a bright-field detector waits to be asked, the code is that of the dark-field image."""
    before = shown.set_code()
    assert "dose=(100.0, 3000.0)" in before
    shown.engine, shown.detector = "multislice", "abf"
    shown.render()
    assert shown.awaits_multislice and "electrons_per_angstrom2" not in shown.set_code()
    assert "dose=(100.0, 3000.0)" in shown.set_code()
