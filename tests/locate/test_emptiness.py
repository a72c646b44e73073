"""A site is called empty when the image says so, by as much as its noise allows."""

import numpy as np
import pytest

from atomnb.locate.emptiness import VACANT, FittedColumns
from atomnb.simulate.lattice import MOTIFS, lay_out

SIDE, WIDTH = 160, 2.2


def seen(points, counts, rng, *, background=2.0, slope=0.0):
    """Poisson image of columns of `counts` electrons each, on a background that slopes along x."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((SIDE, SIDE), background) + slope * x
    for py, px in points:
        image += counts * np.exp(-0.5 * ((y - py) ** 2 + (x - px) ** 2) / WIDTH**2) / (2 * np.pi * WIDTH**2)
    return rng.poisson(image).astype(float)


def probabilities(counts, *, filled, n=12, invert=False, slope=0.0):
    """What is said of the middle site of a honeycomb that the list of columns lacks."""
    rng = np.random.default_rng(counts + filled)
    points = lay_out(MOTIFS["honeycomb"], 68.0, spacing=8.0).positions_yx + SIDE / 2
    middle = np.argmin(np.hypot(*(points - SIDE / 2).T))
    listed = np.delete(points, middle, axis=0)
    intensity = counts * np.exp(rng.normal(0, 2 / np.sqrt(counts), len(listed)))
    out = []
    for _ in range(n):
        image = seen(points if filled else listed, counts, rng, slope=slope)
        image = image.max() - image if invert else image
        fitted = FittedColumns(image, listed, intensity, np.full(len(listed), WIDTH))
        out.append(fitted.empty_probability(points[middle], np.ones(len(listed), bool)))
    return np.array(out)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_at_high_dose_the_image_decides(invert, slope):
    assert probabilities(1000, filled=False, invert=invert, slope=slope).min() > 0.999
    assert probabilities(1000, filled=True, invert=invert, slope=slope).max() < 1e-6


@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("ground", ["a bright area beside the crystal", "a dark area beside dark columns", "a tilt"])
def test_neither_what_lies_beside_the_crystal_nor_a_tilt_turns_the_verdict(ground, filled):
    rng = np.random.default_rng(3)
    points = lay_out(MOTIFS["honeycomb"], 68.0, spacing=8.0).positions_yx + SIDE / 2
    points = points[points[:, 1] < 100]
    middle = np.argmin(np.hypot(*(points - [SIDE / 2, 50]).T))
    listed = np.delete(points, middle, axis=0)
    image = seen(points if filled else listed, 1000, rng)
    beyond = np.arange(SIDE) > 110
    if ground == "a tilt":
        image += 3.0 * np.arange(SIDE)
    elif ground == "a dark area beside dark columns":
        image = np.where(beyond, 0.0, 500.0 - image)
    else:
        image[:, beyond] += 300.0
    fitted = FittedColumns(image, listed, np.full(len(listed), 1000.0), np.full(len(listed), WIDTH))
    empty = fitted.empty_probability(points[middle], np.ones(len(listed), bool))
    assert empty < 0.01 if filled else empty > 0.99


def test_half_a_column_is_not_taken_for_none_where_there_may_be_one():
    rng = np.random.default_rng(5)
    points = lay_out(MOTIFS["honeycomb"], 68.0, spacing=8.0).positions_yx + SIDE / 2
    middle = np.argmin(np.hypot(*(points - SIDE / 2).T))
    listed = np.delete(points, middle, axis=0)
    image = seen(listed, 5000, rng) + seen(points[[middle]], 1800, rng, background=0.0)
    fitted = FittedColumns(image, listed, np.full(len(listed), 5000.0), np.full(len(listed), WIDTH))
    alike = np.ones(len(listed), bool)
    assert fitted.empty_probability(points[middle], alike) > 0.9
    assert fitted.empty_probability(points[middle], alike, half_full=True) < 0.05


def test_columns_that_were_not_fitted_are_left_out():
    rng = np.random.default_rng(6)
    points = lay_out(MOTIFS["honeycomb"], 68.0, spacing=8.0).positions_yx + SIDE / 2
    middle = np.argmin(np.hypot(*(points - SIDE / 2).T))
    listed, alike = np.delete(points, middle, axis=0), np.ones(len(points) - 1, bool)
    intensity = np.where(rng.random(len(listed)) < 0.1, np.nan, 1000.0)
    image = seen(listed, 1000, rng)
    fitted = FittedColumns(image, listed, intensity, np.full(len(listed), WIDTH))
    assert fitted.empty_probability(points[middle], alike) > 0.99
    for nothing in (np.full(len(listed), np.nan), np.zeros(len(listed))):
        fitted = FittedColumns(image, listed, nothing, np.full(len(listed), WIDTH))
        assert np.isnan(fitted.empty_probability(points[middle], alike))


def test_where_noise_decides_nothing_is_claimed():
    """At a few electrons per column a site is hardly less likely to be filled than any other."""
    empty, filled = probabilities(8, filled=False, n=40), probabilities(8, filled=True, n=40)
    assert np.median(empty) < 0.5
    assert np.median(filled) < 2 * VACANT
    assert np.median(empty) > np.median(filled)


def test_too_few_columns_to_compare_with_give_no_verdict():
    rng = np.random.default_rng(0)
    points = np.array([[40.0, 40.0], [40.0, 48.0], [47.0, 44.0]])
    fitted = FittedColumns(seen(points, 500, rng), points, np.full(3, 500.0), np.full(3, WIDTH))
    assert np.isnan(fitted.empty_probability([60.0, 60.0], np.ones(3, bool)))


@pytest.mark.parametrize("share, low, high", [(0.0, -np.inf, 2.5), (0.3, 3.0, np.inf)])
def test_the_tails_of_bright_columns_are_not_taken_for_a_faint_one(share, low, high):
    """Columns whose tails no Gaussian has, round a hexagon that is empty or holds a faint one."""
    rng = np.random.default_rng(8)
    points = lay_out(MOTIFS["honeycomb"], 68.0, spacing=8.0).positions_yx + SIDE / 2
    place = np.array([SIDE / 2, SIDE / 2])
    assert np.hypot(*(points - place).T).min() == pytest.approx(8.0, abs=0.01)
    y, x = np.mgrid[:SIDE, :SIDE]
    tails = sum(400 / (2 * np.pi * 16) * (1 + ((y - py) ** 2 + (x - px) ** 2) / 64) ** -2.0 for py, px in points)
    image = rng.poisson(seen(points, 1000, rng) + tails + seen([place], share * 1000, rng, background=0.0))
    fitted = FittedColumns(image, points, np.full(len(points), 1000.0), np.full(len(points), WIDTH))
    assert low < fitted.significance(place) < high
