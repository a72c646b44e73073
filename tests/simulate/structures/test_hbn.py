"""Boron nitride: bonds, vacancies, carbon."""

import pytest

from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")


def test_a_perfect_sheet_alternates(bonds, elements_of):
    atoms = create_structure("hbn", size_angstrom=(25, 25)).atoms
    pairs, length, count = bonds(atoms, 1.6)
    assert set(count) == {3}
    assert length.min() == pytest.approx(1.446, abs=1e-6) and length.max() == pytest.approx(1.446, abs=1e-6)
    assert (atoms.numbers[pairs].sum(axis=1) == 12).all()
    assert elements_of(atoms)["B"] == elements_of(atoms)["N"]


@pytest.mark.parametrize(
    ("option", "lost", "name"),
    [
        ("v_b", (1, 0, 0), "V_B"),
        ("v_n", (0, 1, 0), "V_N"),
        ("v_bn", (1, 1, 0), "V_BN"),
        ("holes", (3, 1, 0), "V_B3N"),
        ("c_b", (1, 0, -1), "C_B"),
        ("c_n", (0, 1, -1), "C_N"),
        ("c_bn", (1, 1, -2), "C_BN"),
    ],
)
def test_defects_take_and_bring_what_their_name_says(option, lost, name, bonds, elements_of):
    perfect = elements_of(create_structure("hbn", size_angstrom=(40, 40)).atoms)
    structure = create_structure("hbn", size_angstrom=(40, 40), options={option: 2})
    count = elements_of(structure.atoms)
    assert tuple(perfect[e] - count[e] for e in ("B", "N", "C")) == tuple(2 * n for n in lost)
    assert [d.name for d in structure.defects] == [name] * 2
    length = bonds(structure.atoms, 1.7)[1]
    assert length.min() > 1.36 and length.max() < 1.56
