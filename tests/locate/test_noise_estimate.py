"""Gain and offset are found from the image alone."""

import numpy as np
import pytest

from atomnb.locate.noise import NoiseModel, estimate_noise, find_comb, saturation_level


@pytest.mark.parametrize("counts", [100, 1000, 10000])
@pytest.mark.parametrize("background", [0.0, 3.0])
def test_scaled_counts_give_the_exact_gain(columns, rng, counts, background):
    image, _, _ = columns.lattice_image(rng, counts=counts, background=background)
    for gain, offset in ((1, 0), (37, 500)):
        found = estimate_noise(image * gain + offset)
        assert found.gain == gain
        assert found.offset == pytest.approx(offset, abs=1.5 * gain)


@pytest.mark.parametrize("counts", [100, 1000, 10000])
def test_eight_bit_rescaling_is_recognised(columns, rng, counts):
    image, _, _ = columns.lattice_image(rng, counts=counts)
    gain = 255 / np.ptp(image)
    picture = np.round((image - image.min()) * gain).astype(np.uint8)
    found = estimate_noise(picture)
    assert found.gain == pytest.approx(gain, rel=0.06)
    assert found.offset == pytest.approx(0, abs=1.5 * max(gain, 1))


def test_subtracted_minimum_moves_the_offset(columns, rng):
    image, _, _ = columns.lattice_image(rng, counts=2000, background=30)
    image = image - image.min()
    found = estimate_noise(image)
    assert found.gain == 1
    missing = 30 - image[:10].mean()
    assert found.offset == pytest.approx(-missing, abs=1.0)


def test_continuous_values_with_read_noise(columns, rng):
    image, _, _ = columns.lattice_image(rng, counts=3000, background=5)
    found = estimate_noise(image * 2.345 + 100 + rng.normal(0, 4, image.shape))
    assert found.gain == pytest.approx(2.345, rel=0.05)
    ground = 100 + 5 * 2.345
    assert found.variance(ground) == pytest.approx(5 * 2.345**2 + 16, rel=0.08)


def test_inverted_images_count_downwards(columns, rng):
    image, _, _ = columns.lattice_image(rng, counts=1000)
    found = estimate_noise(4000 - 3 * image)
    assert found.gain == -3
    assert found.offset == pytest.approx(4000, abs=3)
    assert found.variance(4000 - 3 * 50) == pytest.approx(9 * 50, rel=0.1)


def test_the_lattice_is_not_noise(columns, rng):
    """Without any noise but the rounding of the values hardly any is found."""
    image, _, _ = columns.lattice_image(rng, counts=20000, background=50)
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.astype(float), 2)
    assert estimate_noise(smooth).variance(smooth.mean()) < 0.01 * smooth.var()


def test_constant_noise_has_no_gain(rng):
    found = estimate_noise(rng.normal(100, 5, (256, 256)))
    assert found.gain == pytest.approx(0, abs=2)
    assert found.variance(100) == pytest.approx(25, rel=0.1)


def test_variance_is_never_negative():
    assert NoiseModel(2.0, 10.0, 1.0).variance(np.array([0.0, 10.0, 20.0])) == pytest.approx([1, 1, 21])


def test_comb_of_two_and_three_is_a_comb_of_one():
    assert find_comb(np.array([[0, 2, 5, 7] * 50] * 10, np.float32)).step == 1
    assert find_comb(np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)) is None


def test_pile_up_is_saturation_and_a_poisson_tail_is_not(rng):
    image = rng.poisson(200, (128, 128))
    assert np.isinf(saturation_level(image))
    assert saturation_level(np.minimum(image, 215)) == 215
    assert np.isinf(saturation_level(rng.poisson(0.2, (128, 128))))
