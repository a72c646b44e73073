"""Presence: empty sites go, faint kinds and uncertain ones stay."""

import numpy as np
import pytest

from atomnb.locate.presence import is_present


def lattice(n=20):
    return np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2) * 8.0


def test_a_filled_hole_is_no_atom():
    rng = np.random.default_rng(0)
    intensity = rng.poisson(60, 400).astype(float)
    holes = np.array([45, 210, 333])
    intensity[holes] = [0.0, 9.0, 4.0]
    kept = is_present(lattice(), intensity, np.full(400, "C"))
    assert not kept[holes].any()
    assert kept.sum() >= 396


def test_half_a_column_is_an_atom():
    intensity = np.full(400, 100.0) + np.random.default_rng(1).normal(0, 8, 400)
    intensity[7] = 42.0
    assert is_present(lattice(), intensity, np.full(400, "chalcogen pair")).all()


def test_kinds_are_compared_with_themselves():
    kind = np.where(np.arange(400) % 2, "A", "B")
    intensity = np.where(kind == "A", 1000.0, 60.0) + np.random.default_rng(2).normal(0, 5, 400)
    assert is_present(lattice(), intensity, kind).all()


def test_an_atom_as_bright_as_another_kind_is_an_antisite_and_no_hole():
    """Lanthanum, manganese and oxygen: an empty manganese site is as bright as oxygen, and yet a hole."""
    kind = np.array(["La", "Mn", "O", "O"])[np.arange(400) % 4]
    usual = {"La": 10000.0, "Mn": 2000.0, "O": 150.0}
    intensity = np.array([usual[k] for k in kind]) * np.random.default_rng(4).normal(1, 0.1, 400)
    antisite, hole, empty = 200, 100, 121
    intensity[[antisite, hole, empty]] = 1800.0, 500.0, 160.0
    kept = is_present(lattice(), intensity, kind)
    assert kept[antisite] and not kept[hole] and not kept[empty]
    assert kept.sum() == 398


def test_noise_that_hides_the_difference_keeps_the_atom():
    rng = np.random.default_rng(3)
    assert is_present(lattice(), rng.exponential(5, 400), np.full(400, "O")).mean() > 0.99


@pytest.mark.parametrize("n", [0, 3])
def test_few_atoms_are_all_kept(n):
    assert is_present(np.zeros((n, 2)), np.arange(n), np.full(n, "C")).tolist() == [True] * n
