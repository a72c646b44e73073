"""Peaks: exact on ideal maps, calibrated where the map is blurred, one per atom."""

import numpy as np
import pytest
import torch

from atomnb.locate.peaks import calibrated, find_peaks, mass_at
from atomnb.simulate.render import LABEL_SIGMA, render_heatmap


def heat(positions, *, sigma=LABEL_SIGMA, shape=(80, 80), present=None):
    yx = torch.tensor(np.asarray(positions, np.float32))[None]
    present = torch.ones(1, len(positions)) if present is None else torch.tensor(present)[None]
    return render_heatmap(yx, present, shape, sigma=sigma)[0].numpy()


def test_positions_of_an_ideal_map(rng):
    grid = np.stack(np.meshgrid(np.arange(8.0, 76, 8), np.arange(8.0, 76, 8)), -1).reshape(-1, 2)
    true = grid + rng.uniform(-0.5, 0.5, grid.shape)
    peaks = find_peaks(heat(true))
    assert len(peaks.score) == len(true)
    order = np.argmin(np.hypot(*(peaks.positions_yx[:, None] - true[None]).transpose(2, 0, 1)), axis=1)
    assert np.abs(peaks.positions_yx - true[order]).max() < 0.12
    np.testing.assert_allclose(peaks.score, 1, atol=0.06)


def test_score_counts_atoms_even_where_their_place_is_in_doubt():
    blurred = heat([[40, 40]], sigma=1.9) * (LABEL_SIGMA / 1.9) ** 2
    assert blurred.max() < 0.5
    peaks = find_peaks(blurred, threshold=0.5)
    assert len(peaks.score) == 1
    assert peaks.score[0] > 0.65


def test_half_an_atom_scores_one_half():
    assert find_peaks(0.5 * heat([[40, 40]]), threshold=0.2).score[0] == pytest.approx(0.5, abs=0.04)


def test_an_atom_at_the_border_is_whole():
    assert find_peaks(heat([[0.0, 40.0]])).score[0] == pytest.approx(1, abs=0.06)


def test_two_near_maxima_are_one_atom():
    assert len(find_peaks(0.6 * heat([[40, 40], [40, 42.2]])).score) == 1


def test_nothing_found_is_an_empty_result():
    peaks = find_peaks(np.zeros((32, 32), np.float32))
    assert peaks.positions_yx.shape == (0, 2)
    assert peaks.score.shape == (0,)


def test_calibration_is_monotone_and_the_identity_by_default():
    mass = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(calibrated(mass, (1.0, 0.0)), mass, atol=1e-9)
    lifted = calibrated(mass, (1.2, 1.0))
    assert (np.diff(lifted) > 0).all()
    assert (lifted[mass > 0.3] > mass[mass > 0.3]).all()


def test_no_peaks_at_all_is_an_answer_too():
    none = np.zeros((0, 2))
    assert mass_at(np.zeros((20, 20), np.float32), none).shape == (0,)
    found = find_peaks(np.zeros((20, 20), np.float32))
    assert found.positions_yx.shape == (0, 2) and found.score.shape == (0,)
