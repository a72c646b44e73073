"""Crystals under the beam: densities, coordination, columns, polarity, faults, polar shifts."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

SIZE = (24, 24)
THIN = {"thickness_angstrom": 16.0}


def made(name, **options):
    return create_structure(name, size_angstrom=SIZE, seed=1, options={**THIN, **options})


@pytest.mark.parametrize(
    ("name", "a", "bond"),
    [("si-110", 5.431, 1), ("ge-110", 5.658, 1), ("gaas-110", 5.653, 2), ("cdte-110", 6.482, 2), ("si-001", 5.431, 1)],
)
def test_dumbbell_crystals_are_four_fold_and_as_dense_as_known(name, a, bond, bonds):
    structure = made(name)
    atoms = structure.atoms
    pairs, length, count = bonds(atoms, 0.5 * a)
    assert set(count) == {4}
    assert length == pytest.approx(np.full(len(length), a * 3**0.5 / 4), rel=1e-6)
    assert len(atoms) / atoms.get_volume() == pytest.approx(8 / a**3, rel=1e-6)
    if bond == 2:
        assert (atoms.numbers[pairs[:, 0]] != atoms.numbers[pairs[:, 1]]).all()


def test_a_dumbbell_is_a_quarter_of_the_lattice_constant_long():
    columns = made("si-110").columns()
    nearest = cKDTree(columns.positions_yx).query(columns.positions_yx, k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(5.431 / 4, rel=1e-6)
    assert set(columns.content) == {"Si"}
    assert len(set(columns.n_atoms.tolist())) == 1


def test_polarity_of_a_dumbbell_turns_round_when_asked():
    def heavy_above_light(structure):
        columns = structure.columns()
        te = columns.positions_yx[columns.content == "Te"]
        cd = columns.positions_yx[columns.content == "Cd"]
        gap = te[cKDTree(te).query(cd)[1]] - cd
        inner = np.hypot(*gap.T) < 2
        return np.sign(np.median(gap[inner, 0]))

    assert heavy_above_light(made("cdte-110")) == -heavy_above_light(made("cdte-110", flip_polarity=True)) != 0


@pytest.mark.parametrize("name", ["si-110-fault", "gaas-110-fault"])
@pytest.mark.parametrize("fault", ["none", "intrinsic", "extrinsic", "twin"])
def test_faults_keep_every_bond_and_show_in_the_third_neighbours(name, fault, bonds):
    structure = made(name, fault=fault)
    atoms = structure.atoms
    a = {"si": 5.431, "ga": 5.653}[name[:2]]
    _, length, count = bonds(atoms, 0.5 * a)
    assert set(count) == {4}
    assert length == pytest.approx(np.full(len(length), a * 3**0.5 / 4), rel=1e-6)
    assert len(atoms) / atoms.get_volume() == pytest.approx(8 / a**3, rel=1e-6)
    eclipsed = bonds(atoms, 0.75 * a)[1]
    eclipsed = ((eclipsed > 0.712 * a) & (eclipsed < 0.73 * a)).sum()
    depth = atoms.cell.lengths()[2] / (a / 2**0.5) * round(atoms.cell.lengths()[0] / (a * 1.5**0.5))
    hexagonal = {"none": 0, "twin": 2, "intrinsic": 2, "extrinsic": 2}[fault]
    assert eclipsed == hexagonal * round(depth) * 2
    assert [d.name for d in structure.defects] == {"none": [], "twin": ["twin"] * 2}.get(fault, [fault])


@pytest.mark.parametrize(
    ("name", "density", "neighbours", "distance"),
    [
        ("fcc-001", 4 / 4.078**3, 12, 4.078 / 2**0.5),
        ("fcc-110", 4 / 4.078**3, 12, 4.078 / 2**0.5),
        ("fcc-111", 4 / 4.078**3, 12, 4.078 / 2**0.5),
        ("bcc-001", 2 / 2.866**3, 8, 2.866 * 3**0.5 / 2),
        ("bcc-111", 2 / 2.866**3, 8, 2.866 * 3**0.5 / 2),
        ("hcp-0001", 2 / (3.209**2 * 5.211 * 3**0.5 / 2), 12, 3.2),
        ("hcp-11-20", 2 / (3.209**2 * 5.211 * 3**0.5 / 2), 12, 3.2),
        ("hcp-10-10", 2 / (3.209**2 * 5.211 * 3**0.5 / 2), 12, 3.2),
    ],
)
def test_metals_are_as_dense_and_close_packed_as_known(name, density, neighbours, distance, bonds):
    atoms = made(name).atoms
    assert len(atoms) / atoms.get_volume() == pytest.approx(density, rel=1e-6)
    assert set(bonds(atoms, 1.05 * distance)[2]) == {neighbours}


@pytest.mark.parametrize(
    ("name", "spacing"),
    [("fcc-001", 4.078 / 2), ("fcc-110", 4.078 * 0.375**0.5), ("hcp-0001", 3.209 / 3**0.5), ("hcp-11-20", 2.765)],
)
def test_the_zone_shows_its_projected_spacing(name, spacing):
    columns = made(name).columns()
    nearest = cKDTree(columns.positions_yx).query(columns.positions_yx, k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(spacing, rel=2e-3)


def test_solute_and_vacancies_come_in_exact_number(elements_of):
    perfect = len(made("fcc-001").atoms)
    structure = made("fcc-001", solute="Cu", solute_share=0.25, vacancies=0.1)
    assert len(structure.atoms) == perfect - round(0.1 * perfect)
    assert len(structure.defects) == round(0.1 * perfect)
    share = elements_of(structure.atoms)["Cu"] / len(structure.atoms)
    assert share == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("form", ["octahedron", "cuboctahedron", "icosahedron", "decahedron", "sphere"])
def test_a_particle_is_about_as_large_as_asked_and_alone(form, bonds):
    structure = create_structure(
        "nanoparticle", size_angstrom=(60, 60), options={"form": form, "diameter_angstrom": 30.0}
    )
    atoms = structure.atoms
    volume = len(atoms) * 4.078**3 / 4
    assert (6 * volume / np.pi) ** (1 / 3) == pytest.approx(30, rel=0.2)
    assert not atoms.pbc.any()
    length, count = bonds(atoms, 3.2)[1:]
    assert length.min() > 2.7 and count.max() == 12
    margin = np.minimum(atoms.positions, atoms.cell.lengths() - atoms.positions).min()
    assert margin > 3


def test_a_film_of_carbon_lies_below_the_particle_at_its_density(elements_of):
    structure = create_structure("nanoparticle", size_angstrom=(40, 40), options={"support_angstrom": 21.5})
    atoms = structure.atoms
    carbon, gold = atoms.numbers == 6, atoms.numbers == 79
    assert carbon.sum() / (40 * 40 * 20) == pytest.approx(0.1, rel=0.01)
    assert atoms.positions[carbon, 2].max() < atoms.positions[gold, 2].min()


@pytest.mark.parametrize(
    ("name", "contents", "formula"),
    [
        ("srtio3-001", {"Sr": 1, "TiO": 1, "O": 2}, {"Sr": 1, "Ti": 1, "O": 3}),
        ("srtio3-110", {"SrO": 1, "Ti": 1, "O": 1}, {"Sr": 1, "Ti": 1, "O": 3}),
        ("batio3-001", {"Ba": 1, "TiO": 1, "O": 2}, {"Ba": 1, "Ti": 1, "O": 3}),
        ("pbtio3-001", {"Pb": 1, "TiO": 1, "O": 2}, {"Pb": 1, "Ti": 1, "O": 3}),
    ],
)
def test_perovskite_columns_hold_what_the_zone_shows(name, contents, formula, elements_of):
    structure = made(name)
    columns = Counter(structure.columns().content.tolist())
    unit = columns["TiO"] or columns["Ti"]
    assert {k: n / unit for k, n in columns.items()} == contents
    count = elements_of(structure.atoms)
    assert {k: n / count["Ti"] for k, n in count.items()} == formula


def shift_of_ti(structure):
    """Mean vector (y, x) from the middle of the four A columns around to each TiO column, Å (power-weighted)."""
    atoms = structure.atoms
    size = np.array(structure.size_angstrom)
    a = atoms.positions[np.isin(atoms.numbers, [56, 82])][:, [1, 0]] % size
    ti = atoms.positions[atoms.numbers == 22][:, [1, 0]] % size
    around = cKDTree(a, boxsize=size).query_ball_point(ti, 3.4)
    out = []
    for place, near in zip(ti, around, strict=True):
        gap = a[near] - place
        out.append(-(gap - size * np.round(gap / size)).mean(axis=0))
    return np.array(out), ti


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("up", (1, 0)), ("down", (-1, 0)), ("right", (0, 1)), ("left", (0, -1)), ("none", (0, 0))],
)
@pytest.mark.parametrize(("name", "shift"), [("batio3-001", 0.0203 * 4.036), ("pbtio3-001", -0.0377 * 4.152)])
def test_titanium_is_displaced_along_the_polarisation(name, shift, direction, expected):
    moved, _ = shift_of_ti(made(name, polarization=direction))
    assert moved.mean(axis=0) == pytest.approx(shift * np.array(expected), abs=1e-3)


def test_walls_divide_up_from_down(bonds):
    structure = made("pbtio3-001", polarization="180-walls")
    moved, place = shift_of_ti(structure)
    walls = sorted(d.yx_angstrom[1] for d in structure.defects)
    left = place[:, 1] < walls[1]
    assert (moved[left, 0] < 0).all() and (moved[~left, 0] > 0).all() and left.any() and (~left).any()
    assert len(structure.atoms) == len(made("pbtio3-001").atoms)
    assert bonds(structure.atoms, 1.6)[2].max() == 0


def test_manganite_has_exact_strontium_and_turned_octahedra(elements_of, bonds):
    structure = made("lsmo-001", a_dopant_share=0.25)
    count = elements_of(structure.atoms)
    assert count["Sr"] == round(0.25 * count["Mn"]) and count["La"] + count["Sr"] == count["Mn"]
    assert count["O"] == 3 * count["Mn"]
    pairs, length, _ = bonds(structure.atoms, 2.2)
    numbers = structure.atoms.numbers[pairs]
    mn_o = ((numbers == 25).any(axis=1)) & ((numbers == 8).any(axis=1))
    assert mn_o.sum() == 6 * count["Mn"]
    tilt = np.tan(np.deg2rad(6.0))
    assert length[mn_o] == pytest.approx(np.full(mn_o.sum(), 3.876 / 2 * (1 + 2 * tilt**2) ** 0.5), abs=1e-6)
    straight = made("lsmo-001", tilt_degrees=0.0)
    assert bonds(straight.atoms, 2.2)[1].min() == pytest.approx(1.938, abs=1e-6)


def test_missing_oxygen_is_counted_and_placed(elements_of):
    perfect, structure = made("srtio3-001"), made("srtio3-001", o_vacancies=0.1)
    lost = elements_of(perfect.atoms)["O"] - elements_of(structure.atoms)["O"]
    assert lost == round(0.1 * elements_of(perfect.atoms)["O"]) == len(structure.defects)
    assert {d.name for d in structure.defects} == {"V_O"}
