"""Strain on planted deformations: right in value, axes and error, on every lattice; honest where it is unknown."""

import numpy as np
import pandas as pd
import pytest

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.deformation import polar_decomposition, turn_matrix
from atomnb.order.lattice_index import index_lattice
from atomnb.order.strain import COMPONENTS, measure_strain

NAMES = ["hexagonal", "square", "honeycomb", "dumbbell", "oblique"]
SUBLATTICES = {"hexagonal": 1, "square": 1, "honeycomb": 2, "dumbbell": 2, "oblique": 1}


def waves(yx, amplitude, period):
    """A smooth displacement (N, 2) and its true gradient F (N, 2, 2)."""
    k = 2 * np.pi / period
    phase = yx @ np.array([[0.6, 0.8], [-0.8, 0.6]]) * k
    u = amplitude * np.stack([np.sin(phase[:, 0]), np.sin(phase[:, 1] + 1)], axis=1)
    slope = amplitude * k * np.stack([np.cos(phase[:, 0]), np.cos(phase[:, 1] + 1)], axis=1)
    direction = np.array([[0.6, -0.8], [0.8, 0.6]])
    return u, np.eye(2) + slope[:, :, None] * direction


def truth_of(gradients):
    found = polar_decomposition(gradients)
    return pd.DataFrame(np.column_stack([found.strain[:, [1, 0, 2]], found.rotation]), columns=list(COMPONENTS))


@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_lattice_is_unstrained(lattices, name, angle):
    yx = lattices.points(name, 22, angle)
    strain = measure_strain(yx, reference=lattices.cell(name, angle))
    inner = np.abs(yx).max(axis=1) < 16
    assert strain.df["grain"].max() == 0
    assert strain.df["lattice_site"].max() + 1 == SUBLATTICES[name]
    assert strain.df.loc[inner, [*COMPONENTS, "u_y", "u_x", "residual"]].abs().to_numpy().max() < 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_a_large_homogeneous_strain_is_exact(lattices, name):
    """12 % along one direction, −6 % across: no small-strain formula; the turn is the grain's orientation."""
    axis = turn_matrix(np.array([0.5]))[0]
    stretch = axis @ np.diag([1.12, 0.94]) @ axis.T
    yx = lattices.points(name, 25) @ stretch.T
    table = measure_strain(yx, reference=lattices.cell(name)).df.dropna(subset=["eps_xx"])
    assert len(table) > 0.95 * len(yx)
    expected = [stretch[1, 1] - 1, stretch[0, 0] - 1, stretch[0, 1], 0]
    np.testing.assert_allclose(table[list(COMPONENTS)], np.tile(expected, (len(table), 1)), atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_strain_waves_come_back_with_slope_one_and_honest_errors(lattices, name, rng):
    yx = lattices.points(name, 60, 0.2)
    u, gradients = waves(yx, 0.8, 160.0)
    errors = rng.uniform(0.02, 0.06, yx.shape)
    truth = truth_of(gradients)
    tables = [
        measure_strain(
            yx + u + rng.normal(size=yx.shape) * errors, reference=lattices.cell(name, 0.2), errors_yx=errors
        ).df
        for _ in range(4)
    ]
    known = np.all([t["neighbors"] >= 4 for t in tables], axis=0)
    assert known.mean() > 0.95
    inside = [(np.abs(t[c] - truth[c]) < t[f"{c}_err"])[known].mean() for t in tables for c in COMPONENTS[:3]]
    assert 0.64 <= np.mean(inside) <= 0.72
    slopes = [np.polyfit(truth[c][known], t[c][known], 1)[0] for t in tables for c in COMPONENTS]
    assert np.mean(slopes) == pytest.approx(1, abs=0.01)


def test_axes_and_signs_are_those_of_the_table(lattices):
    yx = lattices.points("square", 30)
    cell = lattices.cell("square")
    y, x = yx.T
    rows = {
        "eps_xx": np.stack([y, 1.02 * x], axis=1),
        "eps_yy": np.stack([1.02 * y, x], axis=1),
        "eps_xy": np.stack([y + 0.02 * x, x + 0.02 * y], axis=1),
    }
    for component, moved in rows.items():
        table = measure_strain(moved, reference=cell).df
        assert table[component].median() == pytest.approx(0.02, abs=1e-6)
    sheared = np.stack([y + np.where(x > 0, 0.03, 0.0) * x, x], axis=1)
    turned = measure_strain(sheared, region=x < -5).df["rotation"][x > 8].median()
    assert turned == pytest.approx(0.015, abs=1e-4)


def test_a_film_is_measured_against_its_substrate(lattices):
    yx = lattices.points("square", 40)
    film = yx[:, 0] < 0
    moved = yx.copy()
    moved[film, 0] *= 1.03
    strain = measure_strain(moved, region=yx[:, 0] > 8)
    deep = yx[:, 0] < -8
    assert strain.reference.kind == "region"
    np.testing.assert_allclose(strain.df["eps_yy"][deep], 0.03, atol=1e-9)
    np.testing.assert_allclose(strain.df["eps_yy"][yx[:, 0] > 8], 0, atol=1e-9)
    np.testing.assert_allclose(strain.df["u_y"], moved[:, 0] - yx[:, 0], atol=1e-9)


def test_without_reference_the_median_of_the_image_is_it(lattices):
    yx = lattices.points("hexagonal", 30) * [1.0, 1.01]
    strain = measure_strain(yx)
    assert strain.df["eps_xx"].abs().max() < 1e-9
    assert strain.grains["a1"][0] == pytest.approx(2.8, rel=0.011)


def test_a_shift_of_one_sublattice_is_no_strain(lattices):
    yx = lattices.points("honeycomb", 25)
    site = measure_strain(yx).df["lattice_site"]
    strain = measure_strain(yx + 0.1 * (site.to_numpy() == 1)[:, None], reference=lattices.cell("honeycomb"))
    assert strain.df["eps_xx"].abs().max() < 1e-9


def test_kinds_of_atoms_keep_a_polar_crystal_from_looking_finer_than_it_is(lattices):
    """B columns 0.2 Å off centre: without the kinds every second row would seem displaced."""
    corners = lattices.points("square", 40)
    centres = corners + 1.95 + [0.2, 0.0]
    yx = np.vstack([corners, centres])
    kind = np.repeat([0, 1], len(corners))
    strain = measure_strain(yx, sublattice=kind, reference=lattices.cell("square"))
    assert strain.df["eps_yy"].abs().max() < 1e-9
    frame = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "sublattice": kind})
    assert measure_strain(AtomTable(frame, 1.0)).df["residual"].max() < 1e-9


def test_rare_kinds_count_with_the_rest(lattices):
    yx = lattices.points("hexagonal", 30)
    frame = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "sublattice": 0})
    frame.loc[[200, 300], "sublattice"] = 1
    assert measure_strain(AtomTable(frame, 1.0)).df["eps_xx"].notna().all()


def test_missing_neighbours_make_errors_grow_and_two_are_needed(lattices):
    yx = lattices.points("hexagonal", 30)
    middle = int(np.argmin(np.hypot(*yx.T)))
    around = np.hypot(*(yx - yx[middle]).T)
    vacancy = np.delete(yx, np.flatnonzero((around > 0.1) & (around < 3))[0], axis=0)
    errors = np.full(vacancy.shape, 0.05)
    table = measure_strain(vacancy, errors_yx=errors, reference=lattices.cell("hexagonal")).df
    whole, short = table["neighbors"] == 6, table["neighbors"] == 5
    assert short.sum() == 6 + (table["neighbors"][~whole & (np.abs(vacancy).max(axis=1) > 24)] == 5).sum()
    assert table.loc[short, "eps_xx_err"].min() >= table.loc[whole, "eps_xx_err"].max() * 0.99
    assert table.loc[short, "eps_xx_err"].mean() > 1.05 * table.loc[whole, "eps_xx_err"].mean()
    few = table["neighbors"] < 2
    assert table.loc[few, [*COMPONENTS, "eps_xx_err"]].isna().to_numpy().all()


def test_each_grain_has_its_own_reference(lattices):
    """Two crystals 17° apart, one of them stretched by 2 %: the rotation is within the grain, not between grains."""
    left, right = lattices.points("honeycomb", 60), lattices.points("honeycomb", 60, 0.3)
    yx = np.vstack([left[left[:, 1] < -0.9], right[right[:, 1] > 0.9] * 1.02])
    yx = yx[np.abs(yx).max(axis=1) < 55]
    strain = measure_strain(yx, reference=lattices.cell("honeycomb"))
    grains = strain.grains
    assert len(grains) == 2
    belongs = strain.df["grain"].to_numpy() >= 0
    assert belongs.mean() > 0.97
    side = yx[:, 1] > 0
    for grain in (0, 1):
        own = side[(strain.df["grain"] == grain).to_numpy()]
        assert max(own.mean(), 1 - own.mean()) > 0.99
    deep = np.abs(yx[:, 1]) > 6
    assert strain.df["eps_xx"][side & deep].median() == pytest.approx(0.02, abs=1e-6)
    assert strain.df["eps_xx"][~side & deep].median() == pytest.approx(0, abs=1e-6)
    assert strain.df["rotation"][deep].abs().max() < 1e-6
    turns = np.sort(np.abs(np.rad2deg(grains["direction"].diff().iloc[1:])) % 60)
    assert min(abs(turns[0] - 17.19), abs(60 - turns[0] - 17.19)) < 0.1


def test_a_dislocation_bends_the_lattice_but_strain_stays_finite(lattices):
    """The displacement of an edge dislocation (isotropic, ν = 0.3): far from the core the strain is the gradient's."""
    yx = lattices.points("square", 60) + np.array([1.9, 1.3])
    burgers, nu = 3.9, 0.3
    y, x = yx.T
    angle, r2 = np.arctan2(y, x), x**2 + y**2
    ux = burgers / (2 * np.pi) * (angle + x * y / (2 * (1 - nu) * r2))
    uy = -burgers / (2 * np.pi) * ((1 - 2 * nu) / (4 * (1 - nu)) * np.log(r2) + (x**2 - y**2) / (4 * (1 - nu) * r2))
    table = measure_strain(yx + np.stack([uy, ux], axis=1), reference=lattices.cell("square")).df
    far = (r2 > 25**2) & (np.abs(yx).max(axis=1) < 52)
    eps_xx = -burgers / (2 * np.pi) * y * ((3 - 2 * nu) * x**2 + (1 - 2 * nu) * y**2) / (2 * (1 - nu) * r2**2)
    assert table["eps_xx"][far].notna().all()
    turned_back = table["eps_xx"][far] - eps_xx[far]
    assert turned_back.abs().max() < 2e-3
    assert np.abs(eps_xx[far]).max() > 0.015


def test_errors_are_found_in_the_residuals_when_none_are_stated(lattices, rng):
    yx = lattices.points("honeycomb", 60)
    strain = measure_strain(yx + rng.normal(0, 0.05, yx.shape), reference=lattices.cell("honeycomb"))
    assert strain.position_error == pytest.approx(0.05, rel=0.05)
    known = strain.df["neighbors"] == 6
    inside = (strain.df["eps_xx"].abs() < strain.df["eps_xx_err"])[known].mean()
    assert 0.63 < inside < 0.73


def test_units_follow_the_table(lattices):
    yx = lattices.points("square", 30) * [1.0, 1.02]
    table = AtomTable.from_positions(yx / 0.25, pixel_size=0.25)
    strain = measure_strain(table, reference=lattices.cell("square"))
    assert strain.df["eps_xx"].median() == pytest.approx(0.02, abs=1e-9)
    assert strain.atoms.pixel_size == 0.25
    np.testing.assert_array_equal(strain.df["y"], table.df["y"])
    assert strain.df["u_x"].max() == pytest.approx(0.02 / 1.02 * yx[:, 1].max(), rel=0.1)
    px = measure_strain(AtomTable.from_positions(yx / 0.25), reference=lattices.cell("square") / 0.25)
    np.testing.assert_allclose(px.df["eps_xx"], strain.df["eps_xx"], atol=1e-12)


def test_a_conventional_cell_will_do(lattices):
    """Dumbbells seen along [110] form a centred lattice."""
    yx = lattices.points("dumbbell", 30)
    assert index_lattice(yx).frames[0].shape == (2, 2)
    strain = measure_strain(yx * [1.01, 1.0], reference=[[5.43, 0], [0, 3.84]])
    assert strain.df["eps_yy"].median() == pytest.approx(0.01, abs=1e-9)


def test_nothing_ordered_gives_nothing(rng):
    table = measure_strain(rng.uniform(0, 100, (300, 2))).df
    assert table["eps_xx"].notna().mean() < 0.1
    empty = measure_strain(np.zeros((0, 2)))
    assert {"eps_xx", "eps_xx_err", "u_y", "grain"} <= set(empty.df.columns) and len(empty.df) == 0
    assert len(measure_strain([[0.0, 1.0], [1.0, 2.0]]).df) == 2


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (lambda yx: np.vstack([yx, yx[3]]), {}, "atoms 3 and"),
        (lambda yx: np.where(yx == yx[2], np.nan, yx), {}, "NaN"),
        (lambda yx: yx, {"reference": [[0, 9.0], [9.0, 0]]}, "cannot be strained"),
        (lambda yx: yx, {"reference": [[0, 1.0], [0, 2.0]]}, "one line"),
        (lambda yx: yx, {"region": [True]}, "one bool per atom"),
        (lambda yx: yx, {"region": np.zeros(225, bool)}, "no atom"),
        (lambda yx: yx, {"reference": np.eye(2), "region": np.ones(225, bool)}, "not both"),
        (lambda yx: yx, {"reach": 0.5}, "reach"),
        (lambda yx: yx, {"sublattice": [0, 1]}, "one value per atom"),
        (lambda yx: yx, {"errors_yx": np.ones((3, 2))}, "errors_yx"),
    ],
)
def test_bad_input_is_told(lattices, change, options, says):
    yx = lattices.points("square", 28)
    assert len(yx) == 225
    with pytest.raises(AtomnbError, match=says):
        measure_strain(change(yx), **options)


def test_frames_are_measured_one_at_a_time(lattices):
    yx = lattices.points("square", 20)
    frame = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "frame": np.arange(len(yx)) % 2})
    with pytest.raises(AtomnbError, match="in_frame"):
        measure_strain(AtomTable(frame))
