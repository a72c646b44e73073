"""The peers get a fair chance: the Laplacian of Gaussian finds a clean lattice, the best one beats the others."""

import numpy as np
import peers
import pytest
import real_frames
from scoring import VALIDATION, noisy_frame, score_material, specimens


def test_the_laplacian_finds_well_separated_columns():
    tally = score_material(peers.laplacian_told_the_spacing, specimens(VALIDATION)["wse2"], 3000, seeds=[0])
    assert tally.f1 > 0.98


def test_parabolic_maxima_are_sub_pixel():
    yx = np.array([[20.3, 30.8], [40.0, 41.45]])
    grid = np.mgrid[:64, :64].astype(float)
    image = sum(np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / 18.0) for y, x in yx)
    found = peers.parabolic(image, peers.local_maxima(image, 4))
    assert np.abs(found - yx).max() < 0.03


def test_nothing_is_found_in_a_flat_image():
    frame = noisy_frame(specimens(VALIDATION)["hbn"], 60)._replace(image=np.zeros((32, 32), np.float32))
    assert peers.laplacian_told_the_spacing(frame).shape == (0, 2)


@pytest.mark.slow
def test_the_best_laplacian_is_not_narrower_than_the_atoms(rng):
    yx = np.stack(np.meshgrid(np.arange(16, 120, 24.0), np.arange(16, 120, 24.0)), -1).reshape(-1, 2)
    grid = np.mgrid[:128, :128].astype(float)
    spots = sum(np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / (2 * 3.0**2)) for y, x in yx)
    image = rng.normal(0, 0.7, (128, 128)) + spots
    frame = real_frames.Labelled("spots", "one", image, None, yx, 4, 0)
    find, chosen = real_frames.best_laplacian([frame])
    assert chosen["sigma_px"] > 2.0  # narrower ones see the noise
    assert real_frames.scored(find, [frame])[0]["f1"] > 0.9
