"""Polar displacements: planted ones come back with honest errors, on structures and through the whole analysis."""

import numpy as np
import pandas as pd
import pytest

import atomnb
from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError, CalibrationError
from atomnb.order.perovskite_sites import find_perovskite_sites
from atomnb.order.polarization import POLARIZATION_COLUMNS, displacements_from_centres, measure_polarization

A = 3.9


def crystal(shift_yx, n=12, angle=0.0):
    """A and B columns (n², 2) each, Å, B shifted from the centre."""
    a = A * np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return a @ turn, (a + A / 2) @ turn + shift_yx


def table_of(a, b, *, pixel_size=0.2, errors=0.02):
    """A columns of intensity 5, B columns of 2, in sublattices 0 and 1."""
    yx = np.vstack([a, b]) / pixel_size
    df = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "sublattice": np.repeat([0, 1], [len(a), len(b)])})
    df["intensity"] = np.where(df["sublattice"] == 0, 5.0, 2.0)
    df["species"] = np.where(df["sublattice"] == 0, "Pb", "TiO")
    return AtomTable(df.assign(y_err=errors / pixel_size, x_err=errors / pixel_size), pixel_size)


@pytest.mark.parametrize("angle", [0.0, 0.5])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.15, 0.0), (-0.1, 0.2)])
def test_planted_displacements_come_back(angle, shift):
    found = measure_polarization(table_of(*crystal(np.array(shift), angle=angle)))
    assert tuple(found.columns) == POLARIZATION_COLUMNS
    b, a = found[found["site"] == "B"], found[found["site"] == "A"]
    inner = a["corners"] == 4
    np.testing.assert_allclose(b.loc[b["corners"] == 4, ["d_y", "d_x"]], np.tile(shift, (11 * 11, 1)), atol=1e-9)
    np.testing.assert_allclose(a.loc[inner, ["d_y", "d_x"]], -np.tile(shift, (inner.sum(), 1)), atol=1e-9)
    np.testing.assert_allclose(b.loc[b["corners"] == 4, "area"], A**2, rtol=1e-9)


def test_errors_hold_the_truth_as_often_as_they_say(rng):
    a, b = crystal(np.array([0.1, -0.05]), n=60)
    error = 0.03
    noisy = table_of(a + rng.normal(0, error, a.shape), b + rng.normal(0, error, b.shape), errors=error)
    found = measure_polarization(noisy)
    found = found[found["site"] == "B"]
    assert found["d_y_err"].median() == pytest.approx(error * 1.25**0.5, rel=1e-6)
    inside = [
        (np.abs(found["d_y"] - 0.1) < found["d_y_err"]).mean(),
        (np.abs(found["d_x"] + 0.05) < found["d_x_err"]).mean(),
    ]
    assert 0.64 <= np.mean(inside) <= 0.72


def test_a_missing_corner_leaves_two_opposite_ones_and_a_larger_error():
    a, b = crystal(np.array([0.1, 0.0]))
    found = measure_polarization(table_of(np.delete(a, 5 * 12 + 5, axis=0), b))
    beside = found[(found["site"] == "B") & (found["corners"] == 2)]
    assert len(beside) == 4
    np.testing.assert_allclose(beside["d_y"], 0.1, atol=1e-9)
    np.testing.assert_allclose(beside["area"], A**2, rtol=1e-6)
    whole = found[(found["site"] == "B") & (found["corners"] == 4)]
    assert beside["d_y_err"].min() > whole["d_y_err"].max()


def test_polarisation_has_the_unit_and_size_of_lead_titanate():
    """Ti 0.157 Å off centre with an effective charge of −18.9 e is 75 µC/cm², the other way, in a cell of 63.3 Å³."""
    found = measure_polarization(table_of(*crystal(np.array([-0.157, 0.0]))), charge=-18.9, depth_angstrom=63.3 / A**2)
    whole = found[found["corners"] == 4]
    np.testing.assert_allclose(whole["p_y"], 75.1, atol=0.2)
    np.testing.assert_allclose(whole["p_x"], 0, atol=1e-9)
    assert whole["p_y_err"].median() > 0
    assert measure_polarization(table_of(*crystal(np.zeros(2))))["p_y"].isna().all()


def test_sites_may_be_named_by_species():
    table = table_of(*crystal(np.array([0.1, 0.0])))
    by_name = measure_polarization(table, a_site="Pb", b_site="TiO")
    pd.testing.assert_frame_equal(by_name, measure_polarization(table, a_site=0, b_site=1))


def test_the_checkerboard_tells_the_sites_where_brightness_cannot():
    """A layer in the middle has brighter B than A columns, as SrRuO₃ between PbTiO₃; one column is missing."""
    table = table_of(*crystal(np.array([0.2, 0.1]), n=16, angle=0.3))
    layer = (table.df["y"] > 120) & (table.df["y"] < 180)
    dimmed = table.df.assign(intensity=np.where(layer, 7.0 - table.df["intensity"], table.df["intensity"])).drop(
        index=77
    )
    sites = find_perovskite_sites(AtomTable(dimmed, table.pixel_size))
    assert (sites == np.where(dimmed["sublattice"] == 0, "A", "B")).mean() == 1
    turned = find_perovskite_sites(AtomTable(dimmed, table.pixel_size), brighter="B")
    assert (turned == np.where(dimmed["sublattice"] == 0, "B", "A")).mean() == 1


def test_a_lattice_that_is_no_checkerboard_is_told():
    a, _ = crystal(np.zeros(2))
    hexagonal = a @ np.array([[0.75**0.5, 0.5], [0, 1]])
    with pytest.raises(AtomnbError, match="square lattice"):
        measure_polarization(AtomTable.from_positions(hexagonal / 0.2, pixel_size=0.2))
    with pytest.raises(AtomnbError, match="both"):
        measure_polarization(table_of(*crystal(np.zeros(2))), a_site=0)
    with pytest.raises(AtomnbError, match="brighter"):
        find_perovskite_sites(table_of(*crystal(np.zeros(2))), brighter="O")


def test_few_columns_give_an_empty_or_short_table():
    a, b = crystal(np.zeros(2), n=2)
    found = measure_polarization(table_of(a, b), a_site=0, b_site=1)
    assert (found["site"] == "B").sum() == 1
    empty = measure_polarization(AtomTable.empty(pixel_size=0.2))
    assert len(empty) == 0 and tuple(empty.columns) == POLARIZATION_COLUMNS
    displacement, corner, area = displacements_from_centres(a, np.zeros((0, 2)))
    assert np.isnan(displacement).all() and (corner == -1).all() and np.isnan(area).all()


@pytest.mark.parametrize(
    ("options", "says"), [({"a_site": 0, "b_site": 7}, "sublattice 7"), ({"a_site": "Ba", "b_site": 1}, "species 'Ba'")]
)
def test_a_site_that_is_not_there_is_told(options, says):
    with pytest.raises(AtomnbError, match=says):
        measure_polarization(table_of(*crystal(np.zeros(2))), **options)


def test_a_scale_is_needed():
    table = table_of(*crystal(np.zeros(2)))
    with pytest.raises(CalibrationError):
        measure_polarization(AtomTable(table.df))
    with pytest.raises(AtomnbError, match="depth_angstrom"):
        measure_polarization(table, depth_angstrom=0)


@pytest.mark.slow
@pytest.mark.parametrize(("direction", "axis", "other"), [("up", "d_y", "d_x"), ("right", "d_x", "d_y")])
def test_lead_titanate_from_structure_to_displacement(direction, axis, other):
    """The columns of the structure say what must be found in its image."""
    pytest.importorskip("ase")
    from atomnb.simulate.convolution import convolution_image
    from atomnb.simulate.structures import create_structure

    structure = create_structure(
        "pbtio3-001", size_angstrom=(60, 60), options={"thickness_angstrom": 8.0, "polarization": direction}
    )
    columns = structure.columns()
    lead, titanium = (columns.positions_yx[columns.content == content] for content in ("Pb", "TiO"))
    planted = np.nanmedian(displacements_from_centres(titanium, lead)[0], axis=0)["yx".index(axis[-1])]
    assert abs(planted) > 0.15
    clean = convolution_image(structure, pixel_size=0.15)
    counts = np.random.default_rng(3).poisson(clean / clean.mean() * 60).astype(np.float32)
    found = measure_polarization(atomnb.analyze(counts, pixel_size=0.15).atoms)
    moved = found[(found["site"] == "B") & (found["corners"] == 4)]
    assert len(moved) > 100
    assert moved[axis].median() == pytest.approx(planted, abs=0.01)
    assert moved[other].median() == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_real_barium_titanate_is_polar_in_one_direction(shared_data):
    """A measured frame: Ti is displaced by about 0.1 Å, much the same way everywhere."""
    image = atomnb.read_image(shared_data / "stem" / "bto_dm4" / "BTO_crystal_1.dm4")
    found = measure_polarization(atomnb.analyze(image).atoms)
    titanium = found[(found["site"] == "B") & (found["corners"] == 4)]
    assert len(titanium) > 900
    assert titanium["length"].median() == pytest.approx(0.13, abs=0.06)
    mean = np.arctan2(titanium["d_y"].mean(), titanium["d_x"].mean())
    assert (np.cos(titanium["direction"] - mean) > 0.5).mean() > 0.9
