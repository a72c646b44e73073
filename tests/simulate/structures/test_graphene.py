"""Graphene: bonds, rings and silicon as in the literature."""

from collections import Counter

import numpy as np
import pytest

from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

SIZE = (34, 34)


def sheet(**options):
    return create_structure("graphene", size_angstrom=SIZE, seed=2, options=options)


def silicon_bonds(structure, bonds):
    """Carbons (2.05 Å) and silicons (2.5 Å) around each silicon, and the lengths of its bonds."""
    atoms = structure.atoms
    pairs, length, _ = bonds(atoms, 2.5)
    symbols = np.array(atoms.get_chemical_symbols())
    silicon = np.sum(symbols[pairs] == "Si", axis=1)
    to_carbon = (silicon == 1) & (length < 2.05)
    return Counter(pairs[to_carbon][symbols[pairs[to_carbon]] == "Si"]), length[to_carbon], length[silicon == 2]


def carbon_lengths(structure, bonds, cutoff=1.7):
    pairs, length, _ = bonds(structure.atoms, cutoff)
    return length[(structure.atoms.numbers[pairs] == 6).all(axis=1)]


def test_a_perfect_sheet_has_bonds_of_142_pm_everywhere(bonds, ring_sizes):
    structure = sheet()
    _, length, count = bonds(structure.atoms, 1.6)
    assert set(count) == {3}
    assert length == pytest.approx(np.full(len(length), 1.42), abs=1e-6)
    assert set(ring_sizes(structure.atoms, 1.6)) == {6}
    area = np.prod(structure.size_angstrom)
    assert len(structure.atoms) / area == pytest.approx(4 / (3 * 3**0.5 * 1.42**2), rel=1e-6)
    assert structure.atoms.pbc.tolist() == [True, True, False]


def test_a_stone_wales_defect_has_two_pentagons_and_two_heptagons(bonds, ring_sizes):
    perfect, structure = sheet(), sheet(stone_wales=1)
    rings = ring_sizes(structure.atoms, 1.7)
    assert (rings[5], rings[7]) == (2, 2)
    assert set(rings) == {5, 6, 7}
    assert len(structure.atoms) == len(perfect.atoms)
    length = carbon_lengths(structure, bonds)
    assert length.min() > 1.33 and length.max() < 1.50


def test_a_double_vacancy_closes_to_5_8_5(bonds, ring_sizes):
    perfect, structure = sheet(), sheet(divacancies=1)
    rings = ring_sizes(structure.atoms, 1.7)
    assert (rings[5], rings[8]) == (2, 1)
    assert len(perfect.atoms) - len(structure.atoms) == 2
    length = carbon_lengths(structure, bonds)
    assert length.min() > 1.35 and length.max() < 1.55
    assert set(bonds(structure.atoms, 1.7)[2]) == {3}


def test_a_single_vacancy_leaves_one_dangling_atom_and_a_pentagon(bonds, ring_sizes):
    perfect, structure = sheet(), sheet(vacancies=1)
    assert len(perfect.atoms) - len(structure.atoms) == 1
    length = carbon_lengths(structure, bonds)
    assert length.min() > 1.38 and length.max() < 1.48
    assert Counter(bonds(structure.atoms, 1.7)[2].tolist())[2] == 3
    assert Counter(bonds(structure.atoms, 2.2)[2].tolist())[2] == 1
    rings = ring_sizes(structure.atoms, 2.2)
    assert rings[5] == 1 and set(rings) == {5, 6, 9}


def test_three_fold_silicon_is_buckled_and_four_fold_silicon_flat(bonds):
    structure = sheet(three_fold=1)
    around, to_carbon, _ = silicon_bonds(structure, bonds)
    assert list(around.values()) == [3]
    assert to_carbon.min() > 1.70 and to_carbon.max() < 1.82
    z = structure.atoms.positions[:, 2]
    assert abs(z[structure.atoms.numbers == 14][0] - np.median(z)) > 0.8
    structure = sheet(four_fold=1)
    around, to_carbon, _ = silicon_bonds(structure, bonds)
    assert list(around.values()) == [4]
    assert to_carbon.min() > 1.84 and to_carbon.max() < 1.95
    assert np.ptp(structure.atoms.positions[:, 2]) < 0.01


@pytest.mark.parametrize(
    ("options", "name", "silicons", "missing", "per_silicon", "touching"),
    [
        ({"dimers": 1, "dimer": "Si2C4"}, "Si2C4", 2, 2, [2, 2], 1),
        ({"dimers": 1, "dimer": "Si2C5"}, "Si2C5", 2, 3, [3, 3], 1),
        ({"dimers": 1, "dimer": "Si2C6"}, "Si2C6", 2, 4, [3, 3], 1),
        ({"trimers": 1}, "Si3C6", 3, 6, [2, 2, 2], 3),
        ({"tetramers": 1}, "Si4C6", 4, 6, [2, 2, 2], 6),
    ],
)
def test_clusters_of_silicon_have_the_formula_they_are_named_after(
    options, name, silicons, missing, per_silicon, touching, bonds, elements_of
):
    perfect, structure = sheet(), sheet(**options)
    assert [d.name for d in structure.defects] == [name]
    count = elements_of(structure.atoms)
    assert count["Si"] == silicons
    assert count["C"] == len(perfect.atoms) - missing
    around, to_carbon, to_silicon = silicon_bonds(structure, bonds)
    assert sorted(around.values()) == per_silicon
    assert to_carbon.min() > 1.74 and to_carbon.max() < 1.95
    assert len(to_silicon) == touching
    assert to_silicon.min() > 2.1 and to_silicon.max() < 2.45
    lengths = carbon_lengths(structure, bonds)
    assert lengths.min() > 1.35 and lengths.max() < 1.55


def test_a_shared_carbon_makes_five_of_six(bonds):
    structure = sheet(dimers=1, dimer="Si2C5")
    pairs = bonds(structure.atoms, 2.05)[0]
    numbers = structure.atoms.numbers[pairs]
    mixed = pairs[(numbers == 14).sum(axis=1) == 1]
    carbons = mixed[structure.atoms.numbers[mixed] == 6]
    assert len(carbons) == 6 and len(set(carbons)) == 5


def test_defects_stand_apart_and_where_they_are_said_to_be():
    structure = create_structure(
        "graphene-si", size_angstrom=(60, 60), seed=1, options={"three_fold": 6, "gap_angstrom": 12.0}
    )
    places = np.array([d.yx_angstrom for d in structure.defects])
    offset = places[:, None] - places
    size = np.array(structure.size_angstrom)
    offset -= size * np.round(offset / size)
    apart = np.hypot(*offset.transpose(2, 0, 1))[np.triu_indices(len(places), 1)]
    assert apart.min() > 12 - 4
    columns = structure.columns()
    silicon = columns.positions_yx[columns.content == "Si"]
    for defect in structure.defects:
        if defect.name in ("SiC3", "SiC4"):
            gap = silicon - defect.yx_angstrom
            gap -= size * np.round(gap / size)
            assert np.hypot(*gap.T).min() < 0.3


@pytest.mark.parametrize("angle", ["9.4", "13.2", "21.8", "32.2"])
def test_a_tilt_boundary_is_made_of_pentagons_and_heptagons(angle, bonds, ring_sizes):
    structure = create_structure("graphene-grain-boundary", size_angstrom=(28, 40), options={"angle_degrees": angle})
    _, length, count = bonds(structure.atoms, 1.75)
    assert set(count) == {3}
    assert length.min() > 1.33 and length.max() < 1.60
    rings = ring_sizes(structure.atoms, 1.75)
    assert rings[5] == rings[7] > 0
    assert set(rings) == {5, 6, 7}
    named = Counter(d.name for d in structure.defects if d.kind == "ring")
    assert (named["5"], named["7"]) == (rings[5], rings[7])


@pytest.mark.slow
@pytest.mark.parametrize("angle", ["13.2", "21.8", "32.2"])
def test_the_grains_are_turned_against_each_other_by_the_angle(angle, bonds):
    structure = create_structure("graphene-grain-boundary", size_angstrom=(28, 90), options={"angle_degrees": angle})
    atoms, width = structure.atoms, structure.size_angstrom[1]

    def direction(centre):
        pairs, _, _ = bonds(atoms, 1.75)
        arms = atoms.positions[pairs[:, 1]] - atoms.positions[pairs[:, 0]]
        inside = (np.abs(atoms.positions[pairs] - [centre, 0, 0])[..., 0] < width / 10).all(axis=1)
        inside &= np.linalg.norm(arms, axis=1) < 2
        return np.angle(np.exp(6j * np.arctan2(arms[inside, 1], arms[inside, 0])).mean(), deg=True) / 6

    turn = (direction(width / 4) - direction(3 * width / 4)) % 60
    assert min(turn, 60 - turn) == pytest.approx(min(float(angle), 60 - float(angle)), abs=0.3)


@pytest.mark.parametrize(("edge", "periodic"), [("zigzag", 0), ("armchair", 1)])
def test_edges_have_two_bonds_and_the_form_asked_for(edge, periodic, bonds):
    structure = create_structure("graphene-edge", size_angstrom=(40, 40), options={"edge": edge})
    pairs, _, count = bonds(structure.atoms, 1.6)
    assert set(count) == {2, 3}
    assert structure.atoms.pbc.tolist() == [periodic == 0, periodic == 1, False]
    rim = count == 2
    touching = rim[pairs].all(axis=1).sum()
    assert (touching == 0) == (edge == "zigzag")
    assert touching in (0, rim.sum() // 2)
    empty = structure.atoms.cell.lengths()[1 - periodic] - np.ptp(structure.atoms.positions[:, 1 - periodic])
    assert empty > 10
    rough = create_structure("graphene-edge", options={"edge": edge, "roughness_angstrom": 2.0})
    assert (bonds(rough.atoms, 1.6)[2] >= 2).all()
