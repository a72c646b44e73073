"""Amorphous silicon: four bonds, no long order, and a front beside the crystal."""

import numpy as np
import pytest

from atomnb.simulate.structures import create_structure
from atomnb.simulate.structures.stillinger_weber import POTENTIALS, arms_of, energy_and_gradient

pytest.importorskip("ase")


@pytest.fixture(scope="module")
def glass():
    return create_structure(
        "si-amorphous", size_angstrom=(15, 14), seed=1, options={"thickness_angstrom": 11.0, "steps": 250}
    )


def order(positions, size):
    """Largest structure factor S(q) at the wave vectors of the box, per atom of a perfect crystal 1."""
    waves = 2 * np.pi * np.array([(i, j) for i in range(1, 12) for j in range(12)]) / size
    return (np.abs(np.exp(1j * positions @ waves.T).sum(axis=0)) ** 2).max() / len(positions) ** 2


def test_the_slope_of_the_energy_is_its_gradient(rng):
    positions = rng.random((40, 3)) * 9.0
    lengths, potential = np.full(3, 9.0), POTENTIALS["Si"]
    arms = arms_of(positions, lengths, 4.4)
    gradient = energy_and_gradient(positions, potential, arms)[1]
    for atom, axis in ((0, 0), (7, 1), (23, 2)):
        moved = positions.copy()
        moved[atom, axis] += 1e-5
        up = energy_and_gradient(moved, potential, arms)[0]
        moved[atom, axis] -= 2e-5
        down = energy_and_gradient(moved, potential, arms)[0]
        assert (up - down) / 2e-5 == pytest.approx(gradient[atom, axis], rel=1e-4, abs=1e-4)


def test_the_crystal_has_the_energy_of_four_bonds_without_strain():
    atoms = create_structure("si-110", size_angstrom=(15, 15), options={"thickness_angstrom": 15.0}).atoms
    potential = POTENTIALS["Si"]
    arms = arms_of(atoms.positions, atoms.cell.lengths(), 4.4)
    energy, gradient = energy_and_gradient(atoms.positions, potential, arms)
    assert energy / len(atoms) == pytest.approx(-2 * potential.epsilon, rel=1e-3)
    assert np.abs(gradient).max() < 1e-6


@pytest.mark.slow
def test_the_glass_is_four_fold_at_its_density(glass, bonds):
    _, length, count = bonds(glass.atoms, 2.85)
    assert count.mean() == pytest.approx(4, abs=0.15)
    assert np.mean(count == 4) > 0.75
    assert length.mean() == pytest.approx(2.40, abs=0.05)
    assert length.min() > 2.1
    assert len(glass.atoms) / glass.atoms.get_volume() == pytest.approx(8 / 5.431**3 / 1.018, rel=1e-3)


@pytest.mark.slow
def test_the_glass_has_no_lattice(glass):
    crystal = create_structure("si-110", size_angstrom=(15, 14), options={"thickness_angstrom": 11.0})
    measured = [order(s.atoms.positions[:, :2], s.atoms.cell.lengths()[:2]) for s in (crystal, glass)]
    assert measured[0] > 0.9
    assert measured[1] < 0.2


@pytest.mark.slow
def test_the_front_keeps_the_crystal_below_and_melts_above(bonds):
    structure = create_structure(
        "si-crystal-amorphous", size_angstrom=(30, 14), seed=2, options={"thickness_angstrom": 11.0, "steps": 120}
    )
    front = max(d.yx_angstrom[0] for d in structure.defects)
    perfect = create_structure("si-110", size_angstrom=(30, 14), options={"thickness_angstrom": 11.0}).atoms
    below = perfect.positions[:, 1] < front
    moved = structure.atoms.positions - perfect.positions
    lengths = structure.atoms.cell.lengths()
    moved -= lengths * np.round(moved / lengths)
    distance = np.linalg.norm(moved, axis=1)
    inner = below & (perfect.positions[:, 1] > 4) & (perfect.positions[:, 1] < front - 4)
    assert inner.sum() > 50 and distance[inner].max() < 0.5
    assert np.median(distance[~below]) > 1.0
    assert bonds(structure.atoms, 2.0)[2].max() == 0
