"""A structure checks itself and finds its columns."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from atomnb.simulate.structures import Structure, StructureError, create_structure

ase = pytest.importorskip("ase")


def box(symbols, positions, lengths=(10.0, 10.0, 10.0)):
    return ase.Atoms(symbols, positions, cell=np.diag(lengths), pbc=True)


def test_columns_stand_where_the_atoms_stand_also_across_the_edge():
    atoms = box("OSr2", [[9.9, 5, 1], [0.1, 5, 2], [4, 3, 8]])
    columns = Structure(atoms, "test", "test").columns()
    assert sorted(columns.content) == ["Sr", "SrO"]
    mixed = list(columns.content).index("SrO")
    share = 38**1.7 / (38**1.7 + 8**1.7)
    assert columns.positions_yx[mixed] == pytest.approx([5, (9.9 + 0.2 * share) % 10])
    assert columns.positions_yx[1 - mixed] == pytest.approx([3, 4])
    assert columns.n_atoms[mixed] == 2 and columns.heaviest_z[mixed] == 38
    assert columns.power_sum[mixed] == pytest.approx(38**1.7 + 8**1.7)


def test_a_sheet_counts_its_atoms_and_a_crystal_names_its_elements():
    pair = [[2, 2, 1], [2, 2, 4], [6, 6, 2.5]]
    assert set(Structure(box("S2Mo", pair), "sheet", "test").columns().content) == {"S2", "Mo"}
    thick = [[2, 2, z] for z in (1.0, 4.0, 7.0)]
    assert set(Structure(box("S3", thick), "crystal", "test").columns().content) == {"S"}


def test_dumbbells_stay_apart_until_asked_to_merge():
    atoms = box("Si2", [[5, 5, 1], [5, 6.36, 3]])
    assert len(Structure(atoms, "test", "test").columns().content) == 2
    assert len(Structure(atoms, "test", "test").columns(merge_angstrom=1.5).content) == 1
    with pytest.raises(StructureError, match="merge_angstrom"):
        Structure(atoms, "test", "test").columns(merge_angstrom=0)


def test_a_structure_is_a_box_with_atoms_and_cannot_be_changed():
    slanted = ase.Atoms("Si", [[0, 0, 0]], cell=[[4, 0, 0], [1, 4, 0], [0, 0, 4]], pbc=True)
    with pytest.raises(StructureError, match="read_structure"):
        Structure(slanted, "test", "test")
    with pytest.raises(StructureError, match="no atoms"):
        Structure(box("", np.zeros((0, 3))), "test", "test")
    with pytest.raises(FrozenInstanceError):
        create_structure("graphene", size_angstrom=(10, 10)).name = "other"


def test_columns_leave_the_atoms_alone():
    structure = create_structure("mos2", size_angstrom=(12, 12))
    before = structure.atoms.positions.copy()
    structure.columns()
    assert np.array_equal(before, structure.atoms.positions)
    assert structure.size_angstrom == pytest.approx(tuple(structure.atoms.cell.lengths()[[1, 0]]))
