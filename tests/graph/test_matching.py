"""Laying structures on one another: whatever order, turn, mirror image, missing or surplus atoms."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.matching import Placement, best_placement, match_structures


def molecule(rng, n=12):
    """Atoms at least 1.2 Å apart, two of them Si, without symmetry."""
    points = [np.zeros(2)]
    while len(points) < n:
        new = rng.uniform(-4, 4, 2)
        if min(np.hypot(*(new - p)) for p in points) > 1.2:
            points.append(new)
    return np.array(points), np.array(["Si", "Si"] + ["C"] * (n - 2))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("trial", range(8))
def test_a_moved_and_shuffled_copy_is_recognised(trial, mirrored):
    rng = np.random.default_rng(trial)
    yx, species = molecule(rng)
    placement = Placement(rng.uniform(-np.pi, np.pi), mirrored, rng.uniform(-20, 20, 2))
    order = rng.permutation(len(yx))
    fixed = placement.apply(yx)[order] + rng.normal(0, 0.05, yx.shape)
    found = match_structures(yx, species, fixed, species[order])
    assert len(found.pairs) == len(yx)
    assert (order[found.pairs[:, 1]] == found.pairs[:, 0]).all()
    assert found.placement.mirrored == mirrored
    np.testing.assert_allclose(found.placement.apply(yx)[found.pairs[:, 0]], fixed[found.pairs[:, 1]], atol=0.25)
    assert found.rmsd < 0.1


def test_a_fragment_is_found_in_a_larger_structure(rng):
    yx, species = molecule(rng, 30)
    part = np.argsort(np.hypot(*(yx - yx[0]).T))[:8]
    placement = Placement(2.0, False, np.array([5.0, -3.0]))
    found = match_structures(placement.apply(yx[part]), species[part], yx, species)
    np.testing.assert_array_equal(found.pairs[:, 1], part)
    assert found.rmsd < 1e-9


def test_missing_atoms_are_left_without_partner(rng):
    yx, species = molecule(rng)
    moved = Placement(1.0, False, np.zeros(2)).apply(yx)
    found = match_structures(moved, species, np.delete(yx, [3, 7], axis=0), np.delete(species, [3, 7]))
    assert sorted(set(range(12)) - set(found.pairs[:, 0])) == [3, 7]


def test_a_mirror_image_is_not_taken_when_forbidden(rng):
    yx, species = molecule(rng)
    flipped = yx * [1, -1]
    assert match_structures(yx, species, flipped, species).rmsd < 1e-9
    assert not match_structures(yx, species, flipped, species, mirror=False).placement.mirrored


def test_species_are_kept_apart():
    found = match_structures([[0, 0], [0, 1.5]], ["B", "N"], [[0, 0], [0, 1.5]], ["N", "B"])
    assert found.pairs.tolist() == [[0, 1], [1, 0]]


def test_placement_and_its_inverse(rng):
    placement = Placement(0.3, True, np.array([1.0, 2.0]))
    points = rng.normal(size=(5, 2))
    np.testing.assert_allclose(placement.undo(placement.apply(points)), points, atol=1e-12)
    again = best_placement(points, placement.apply(points), mirrored=True)
    assert again.angle_rad == pytest.approx(0.3)
    np.testing.assert_allclose(again.shift_yx, [1, 2])


@pytest.mark.parametrize(
    ("moving", "fixed", "options", "says"),
    [
        (([], []), ([[0, 0]], ["C"]), {}, "without atoms"),
        (([[0, 0]], ["C", "C"]), ([[0, 0]], ["C"]), {}, "one for each"),
        (([[0, np.nan]], ["C"]), ([[0, 0]], ["C"]), {}, "NaN"),
        (([[0, 0], [0, 1]], ["C", "C"]), ([[0, 0], [0, 9]], ["C", "C"]), {}, "cannot be laid"),
        (([[0, 0]], ["C"]), ([[0, 0]], ["C"]), {"tolerance": 0}, "tolerance"),
    ],
)
def test_bad_input_is_told(moving, fixed, options, says):
    with pytest.raises(AtomnbError, match=says):
        match_structures(*moving, *fixed, **options)
