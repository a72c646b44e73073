"""Scale: the lattice's own ruler, calibration by hand, warnings when lengths disagree."""

import numpy as np
import pytest

from atomnb import scale
from atomnb.errors import CalibrationError
from atomnb.simulate import lattice
from atomnb.simulate.scene import render_scene


def crystal(name, *, spacing_px, counts, rng, angle=0.3, size=384):
    sites = lattice.lay_out(lattice.MOTIFS[name], 0.8 * size, spacing=spacing_px, angle=angle)
    points = sites.positions_yx + size / 2
    return render_scene(
        points, np.ones(len(points)), np.full(len(points), "X", object), shape=(size, size), pixel_size=1.0,
        counts_per_column=counts, probe_sigma_angstrom=0.28 * spacing_px, rng=rng,
    ).image  # fmt: skip


@pytest.mark.parametrize("counts", [3000, 60])
@pytest.mark.parametrize("name, ratio", [("square", 1.0), ("hexagonal", 3**0.5 / 2), ("honeycomb", 1.5)])
def test_period_is_the_plane_distance_of_the_lattice(name, ratio, counts, rng):
    period = scale.dominant_period(crystal(name, spacing_px=14.0, counts=counts, rng=rng))
    assert period == pytest.approx(14.0 * ratio, rel=0.04)


@pytest.mark.parametrize("spacing", [8.0, 20.0])
def test_spacing_from_the_image_alone(spacing, rng):
    report = scale.estimate_scale(crystal("square", spacing_px=spacing, counts=2000, rng=rng), pixel_size=0.2)
    assert report.spacing_px == pytest.approx(spacing, rel=0.04)
    assert report.spacing_angstrom == pytest.approx(spacing * 0.2, rel=0.04)


def test_noise_has_no_period(rng):
    assert scale.dominant_period(rng.poisson(20, (400, 400)).astype(float)) is None


def test_spacing_of_positions():
    grid = np.stack(np.meshgrid(np.arange(5.0) * 3, np.arange(5.0) * 4), -1).reshape(-1, 2)
    assert scale.measure_spacing(grid) == 3.0
    assert scale.measure_spacing(grid[:1]) is None


def test_calibration_by_a_known_spacing_and_by_two_points():
    assert scale.pixel_size_from_spacing(14.2, 1.42) == pytest.approx(0.1)
    assert scale.pixel_size_from_points((0, 0), (30, 40), 25.0) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [(0.0, 1.0), (5.0, -1.0), (float("nan"), 1.0)])
def test_impossible_lengths_are_refused(bad):
    with pytest.raises(CalibrationError, match="positive"):
        scale.pixel_size_from_spacing(*bad)


def test_conflict_is_told_with_the_remedy():
    message = scale.conflict_message(16.6, 0.0781, 1.42)
    assert "9% less" in message
    assert "pixel_size=0.08554" in message
    assert scale.conflict_message(16.6, 0.0855, 1.42) is None
    assert scale.conflict_message(None, 0.1, 1.42) is None
