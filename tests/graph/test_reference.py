"""A defect against a reference: right correspondence, right strain, differences in true sigmas."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.deformation import polar_decomposition, turn_matrix
from atomnb.graph.matching import Placement
from atomnb.graph.record import DefectRecord
from atomnb.graph.reference import compare_structure

BOND = 1.42


def flake(radius=6.0):
    """A round piece of graphene with a Si in it, without symmetry."""
    cell = BOND * 3**0.5 * np.array([[0, 1], [0.75**0.5, 0.5]])
    nodes = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 2, indexing="ij"), -1).reshape(-1, 2) @ cell
    yx = np.vstack([nodes, nodes + np.array([BOND, 0])]) + np.array([0.3, 0.2])
    yx = yx[np.hypot(*yx.T) < radius]
    species = np.full(len(yx), "C")
    silicon, other = np.argsort(np.hypot(*(yx - [0.5, 1.0]).T))[[0, 4]]
    species = species.astype(object)
    species[silicon], species[other] = "Si", "N"
    return yx, species


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("trial", range(5))
def test_planted_strain_comes_back_whatever_the_placement_and_order(trial, mirrored):
    """1000 random strains came out wrong in the published code; the order of the atoms did not matter less."""
    rng = np.random.default_rng(trial)
    yx, species = flake()
    stretch = np.eye(2) + np.array([[1, 0.3], [0.3, -0.6]]) * rng.uniform(-0.04, 0.04)
    order = rng.permutation(len(yx))
    placed = Placement(rng.uniform(-np.pi, np.pi), mirrored, rng.uniform(-9, 9, 2)).apply(yx)
    middle = placed.mean(axis=0)
    measured = ((placed - middle) @ stretch.T + middle)[order]
    found = compare_structure((measured, species[order]), (yx, species))
    assert len(found.atoms) == len(yx)
    assert (order[found.atoms["measured"]] == found.atoms["reference"]).all()
    assert found.match.placement.mirrored == mirrored
    assert found.strain["eps_xx"] == pytest.approx(stretch[1, 1] - 1, abs=1e-9)
    assert found.strain["eps_yy"] == pytest.approx(stretch[0, 0] - 1, abs=1e-9)
    assert found.strain["eps_xy"] == pytest.approx(stretch[0, 1], abs=1e-9)
    whole = found.atoms.dropna(subset=["eps_xx"])
    np.testing.assert_allclose(whole["eps_xx"], stretch[1, 1] - 1, atol=1e-9)
    np.testing.assert_allclose(whole["rotation"], 0, atol=1e-9)


def test_errors_of_strain_and_bonds_are_honest(rng):
    yx, species = flake()
    local, whole, bonds, angles = [], [], [], []
    for _ in range(40):
        errors = rng.uniform(0.01, 0.04, yx.shape)
        found = compare_structure(
            (yx + rng.normal(size=yx.shape) * errors, species), (yx, species), errors_yx=errors, mirror=False
        )
        atoms = found.atoms[found.atoms["eps_xx_err"] < 0.05]
        local.append((atoms["eps_xx"].abs() < atoms["eps_xx_err"]).mean())
        whole.append(abs(found.strain["eps_xy"]) < found.strain["eps_xy_err"])
        bonds.append((found.bonds["sigmas"].abs() < 1).mean())
        angles.append((found.angles["sigmas"].abs() < 1).mean())
        assert found.rms_sigmas == pytest.approx(1, abs=0.35)
    for inside in (local, bonds, angles):
        assert 0.64 <= np.mean(inside) <= 0.72
    assert 0.5 < np.mean(whole) < 0.85


def test_a_bond_that_is_too_long_stands_out(rng):
    yx, species = flake()
    silicon = int(np.flatnonzero(species == "Si")[0])
    moved = yx.copy()
    moved[silicon] += [0.0, 0.2]
    found = compare_structure((moved, species), (yx, species), errors_yx=np.full(yx.shape, 0.02))
    worst = found.bonds.iloc[found.bonds["sigmas"].abs().argmax()]
    assert silicon in (worst["i"], worst["j"]) and "Si" in worst["species"]
    assert abs(worst["sigmas"]) > 4
    assert found.bonds["reference"].to_numpy() == pytest.approx(BOND)


def test_a_wrong_pixel_size_can_be_taken_out(rng):
    yx, species = flake()
    found = compare_structure(
        (Placement(0.4, True, np.zeros(2)).apply(yx) * 1.05, species), (yx, species), fit_scale=True
    )
    assert found.scale == pytest.approx(1.05, abs=1e-6)
    assert abs(found.strain["eps_xx"]) < 1e-9
    assert compare_structure((yx * 1.05, species), (yx, species)).strain["eps_xx"] == pytest.approx(0.05, abs=1e-9)


def test_a_record_brings_its_bonds_and_errors():
    yx, species = flake(3.0)
    silicon = int(np.flatnonzero(species == "Si")[0])
    near = np.argsort(np.hypot(*(yx - yx[silicon]).T))[1:4]
    record = DefectRecord(
        np.zeros((8, 8)), yx, species, [[silicon, k] for k in near], "Si1C3", 0.1, errors_yx=np.full(yx.shape, 0.03)
    )
    found = compare_structure(record, (yx, species))
    assert len(found.bonds) == 3 and len(found.angles) == 3
    np.testing.assert_allclose(found.bonds["error"], 0.03 * 2**0.5)
    np.testing.assert_allclose(found.bonds["sigmas"], 0, atol=1e-6)


@pytest.mark.parametrize("ending", ["cif", "xyz"])
def test_a_calculation_is_read_from_its_file_and_across_its_border(tmp_path, ending):
    """A periodic cell with the defect at its corner, as calculations like to have it."""
    ase = pytest.importorskip("ase")
    from ase.io import write

    from atomnb.simulate.structures import create_structure

    sheet = create_structure("graphene-si", size_angstrom=(20, 20), seed=2, options={"three_fold": 1})
    atoms = sheet.atoms.copy()
    silicon = atoms.get_chemical_symbols().index("Si")
    place = atoms.positions[silicon, [1, 0]].copy()
    lengths = atoms.cell.lengths()[[1, 0]]
    offset = (atoms.positions[:, [1, 0]] - place + lengths / 2) % lengths - lengths / 2
    near = np.hypot(*offset.T) < 5
    measured, species = offset[near], np.array(atoms.get_chemical_symbols())[near]
    atoms.positions[:, [1, 0]] = (atoms.positions[:, [1, 0]] - place) % lengths
    write(tmp_path / f"dft.{ending}", atoms)
    turned = measured @ turn_matrix(np.array([0.6]))[0].T
    found = compare_structure((turned, species), tmp_path / f"dft.{ending}", tolerance=0.5)
    assert isinstance(atoms, ase.Atoms)
    assert len(found.atoms) == near.sum()
    assert found.match.rmsd < 1e-3
    assert compare_structure((turned, species), atoms).match.rmsd < 1e-3


def test_the_whole_agrees_with_the_polar_decomposition_of_large_deformations():
    yx, species = flake()
    f = turn_matrix(np.array([0.2]))[0] @ np.array([[1.06, 0.02], [0.02, 0.97]])
    truth = polar_decomposition(f[None])
    found = compare_structure(((yx - yx.mean(axis=0)) @ f.T, species), (yx, species), tolerance=1.0)
    assert len(found.atoms) == len(yx)
    trace = found.strain["eps_xx"] + found.strain["eps_yy"]
    assert trace == pytest.approx(truth.strain[0, :2].sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("measured", "reference", "options", "error", "says"),
    [
        (3, None, {}, AtomnbError, "DefectRecord"),
        (([[0, 0, 0]], ["C"]), None, {}, AtomnbError, "shape"),
        (None, "none.cif", {}, FileNotFoundError, "no file"),
        (None, None, {"errors_yx": np.zeros((2, 2))}, AtomnbError, "errors_yx"),
        (None, ([[0.0, 0.0]], ["C"]), {}, AtomnbError, "fewer than two"),
    ],
)
def test_bad_input_is_told(measured, reference, options, error, says):
    default = flake(3.0)
    with pytest.raises(error, match=says):
        compare_structure(
            default if measured is None else measured, default if reference is None else reference, **options
        )
