"""Every structure builds, says what it is made from, and refuses what it cannot do."""

import json

import numpy as np
import pytest

from atomnb.simulate.structures import STRUCTURES, StructureError, create_structure

pytest.importorskip("ase")

QUICK = [name for name, kind in STRUCTURES.items() if kind.family != "amorphous"]


@pytest.mark.parametrize("name", QUICK)
def test_every_structure_builds_at_its_defaults(name):
    structure = create_structure(name, size_angstrom=(31, 27), seed=5)
    height, width = structure.size_angstrom
    assert height >= 31 - 1e-6 and width >= 27 - 1e-6
    assert max(height, width) < 65
    assert structure.family == STRUCTURES[name].family
    assert np.isfinite(structure.atoms.positions).all()
    assert (structure.atoms.positions >= 0).all()
    assert (structure.atoms.positions <= structure.atoms.cell.lengths()).all()
    for defect in structure.defects:
        assert 0 <= defect.yx_angstrom[0] <= height and 0 <= defect.yx_angstrom[1] <= width
    columns = structure.columns()
    assert columns.n_atoms.sum() == len(structure.atoms)
    assert (columns.positions_yx >= 0).all() and (columns.positions_yx < [height, width]).all()


@pytest.mark.parametrize("name", ["graphene-si", "mos2-se-alloy", "lsmo-001", "nanoparticle", "hbn"])
def test_the_same_seed_gives_the_same_atoms_and_another_seed_others(name):
    options = {"v_b": 2} if name == "hbn" else None

    def made(seed):
        return create_structure(name, size_angstrom=(36, 36), seed=seed, options=options)

    first, again, other = made(3), made(3), made(4)
    assert np.array_equal(first.atoms.positions, again.atoms.positions)
    assert np.array_equal(first.atoms.numbers, again.atoms.numbers)
    assert first.defects == again.defects
    assert len(first.atoms) != len(other.atoms) or not (
        np.allclose(first.atoms.positions, other.atoms.positions)
        and np.array_equal(first.atoms.numbers, other.atoms.numbers)
    )


def test_provenance_is_plain_and_rebuilds_the_structure():
    made = create_structure("mos2", size_angstrom=(20, 25), seed=9, options={"v_x": 3})
    record = json.loads(json.dumps(made.provenance))
    again = create_structure(
        record["name"], size_angstrom=record["size_angstrom"], seed=record["seed"], options=record["options"]
    )
    assert np.array_equal(made.atoms.positions, again.atoms.positions)
    assert {"atomnb", "ase", "numpy"} <= set(record["versions"])
    assert record["options"]["v_x"] == 3 and record["options"]["v_m"] == 0


def test_kinds_tell_their_options():
    kind = STRUCTURES["graphene-si"]
    assert kind.options["three_fold"] == 3
    assert all(option.summary for k in STRUCTURES.values() for option in k.settings)
    assert all(k.summary and k.name == name for name, k in STRUCTURES.items())


@pytest.mark.parametrize(
    ("name", "options", "size", "message"),
    [
        ("mos3", None, (20, 20), "there are: .*mos2"),
        ("mos2", {"vx": 1}, (20, 20), "no option 'vx'.*v_x"),
        ("mos2", {"v_x": -1}, (20, 20), "between 0"),
        ("mos2", {"v_x": 1.5}, (20, 20), "type int"),
        ("mos2", {"v_x": True}, (20, 20), "type int"),
        ("mos2", {"v_x": 5000}, (20, 20), "do not fit"),
        ("mos2", {"metal_dopant": "Xx"}, (20, 20), "must be an element"),
        ("graphene", {"vacancies": 50}, (20, 20), "vacancies do not fit"),
        ("graphene-grain-boundary", {"angle_degrees": "12"}, (20, 20), "one of .*21.8"),
        ("srtio3-001", {"thickness_angstrom": float("nan")}, (20, 20), "between"),
        ("srtio3-001", {"a_dopant": "Lanthanum"}, (20, 20), "element"),
        ("gaas-110", {"flip_polarity": "yes"}, (20, 20), "type bool"),
        ("nanoparticle", {"diameter_angstrom": 60.0}, (20, 20), "does not fit"),
        ("srtio3-001", {"thickness_angstrom": 900.0}, (900, 900), "smaller size or thickness"),
        ("graphene", None, (0, 20), "between 0"),
        ("graphene", None, 20, r"\(height, width\)"),
        ("graphene", None, (20, 1e9), "2000"),
    ],
)
def test_what_cannot_be_built_is_said_so(name, options, size, message):
    with pytest.raises(StructureError, match=message):
        create_structure(name, size_angstrom=size, options=options)
