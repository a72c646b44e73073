"""Levelling: tilt and row jumps go, what stands on the surface keeps its height."""

import numpy as np
import pytest

from atomnb.errors import ImageError
from atomnb.level import level_plane, level_rows

H, W = 120, 160
Y, X = np.mgrid[:H, :W].astype(float)
TILT = 0.21 * Y - 0.13 * X + 400.0


@pytest.fixture
def atoms():
    return 0.2 * np.cos(2 * np.pi * (X + 0.3 * Y) / 11) * np.cos(2 * np.pi * (Y - 0.2 * X) / 9)


def test_tilt_goes_and_atoms_stay(atoms):
    np.testing.assert_allclose(level_plane(atoms + TILT), atoms - np.median(atoms), atol=0.01)


def test_an_island_does_not_tip_the_plane(atoms, rng):
    island = 2.3 * ((Y > 70) & (X > 90))
    level = level_plane(atoms + TILT + island + rng.normal(0, 0.02, (H, W)))
    terrace = (Y < 60) & (X < 80)
    slopes = np.polyfit(Y[terrace], level[terrace], 1)[0], np.polyfit(X[terrace], level[terrace], 1)[0]
    assert np.abs(slopes).max() < 1e-3
    assert level[island > 0].mean() - level[terrace].mean() == pytest.approx(2.3, abs=0.05)


def test_row_jumps_go_and_heights_stay(atoms, rng):
    jumps = np.cumsum(rng.normal(0, 0.5, (H, 1)), axis=0)
    molecule = 1.5 * np.exp(-((Y - 50) ** 2 + (X - 60) ** 2) / 18)
    clean, level = level_plane(atoms + molecule), level_rows(atoms + molecule + jumps + TILT)
    assert np.abs(level - clean).std() < 0.05
    assert np.corrcoef(level.ravel(), clean.ravel())[0, 1] > 0.97
    assert level[45:55, 55:65].max() - np.median(level) == pytest.approx(1.5, abs=0.25)


def test_a_step_across_the_rows_keeps_its_height():
    step = 3.1 * (X > 70)
    level = level_rows(step + 0.05 * np.sin(1.3 * X + 0.9 * Y) + TILT)
    assert level[:, :60].mean() - level[:, 90:].mean() == pytest.approx(-3.1, abs=0.1)


def test_the_input_is_untouched_and_the_result_float32(atoms):
    before = atoms.copy()
    for level in (level_plane, level_rows):
        assert level(atoms).dtype == np.float32
        assert np.median(level(atoms)) == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(atoms, before)


@pytest.mark.parametrize("level", [level_plane, level_rows])
def test_unfinished_scans_and_flat_images_are_clear_errors(level, atoms):
    atoms[-3:] = np.nan
    with pytest.raises(ImageError, match="unfinished part"):
        level(atoms)
    with pytest.raises(ImageError, match="constant"):
        level(np.full((20, 20), 7.0))
