"""Resampling: exact at zoom 1, tiles without seams, positions map back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from atomnb.resample import output_shape, resample, to_input


def blob(shape, y, x, sigma):
    grid = np.indices(shape)
    return np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / (2 * sigma**2)).astype(np.float32)


def centre(image):
    grid = np.indices(image.shape)
    return np.array([(g * image).sum() / image.sum() for g in grid])


@pytest.mark.parametrize("zoom", [0.37, 0.8, 1.0, 1.9])
def test_positions_map_back_to_the_image(zoom):
    image = blob((120, 140), 50.3, 70.8, 6.0)
    shape = output_shape(image.shape, zoom)
    found = to_input(centre(resample(image, shape)), image.shape, shape)
    np.testing.assert_allclose(found, [50.3, 70.8], atol=0.02)


@pytest.mark.parametrize("zoom", [0.37, 0.8, 1.7])
def test_same_kernel_as_training(zoom, rng):
    image = rng.random((90, 110), np.float32)
    shape = output_shape(image.shape, zoom)
    reference = F.interpolate(torch.from_numpy(image)[None, None], size=shape, mode="bicubic", antialias=True)[0, 0]
    inner = (slice(6, -6), slice(6, -6))
    np.testing.assert_allclose(resample(image, shape)[inner], reference.numpy()[inner], atol=2e-3)


def test_windows_join_without_a_seam(rng):
    image = rng.random((200, 160), np.float32)
    shape = output_shape(image.shape, 0.73)
    whole = resample(image, shape)
    window = (slice(40, 90), slice(30, 111))
    np.testing.assert_allclose(resample(image, shape, window=window), whole[window], atol=1e-6)


def test_constant_stays_constant_and_noise_averages(rng):
    assert np.ptp(resample(np.full((64, 64), 3.5, np.float32), (23, 29))) < 1e-5
    noise = rng.normal(0, 1, (400, 400)).astype(np.float32)
    assert resample(noise, (100, 100)).std() < 0.35


def test_zoom_one_is_exact(rng):
    image = rng.random((33, 47), np.float32)
    np.testing.assert_array_equal(resample(image, image.shape), image)
