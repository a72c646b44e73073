"""Planned grids reach the detectors, and the planned memory grows with what needs memory."""

from dataclasses import replace
from importlib.util import find_spec
from math import prod

import pytest

from atomnb.errors import AtomnbError, MissingPackageError
from atomnb.simulate.multislice_plan import (
    MultisliceConfig,
    fast_length,
    free_memory,
    plan_multislice,
    settings_that_fit,
)
from atomnb.simulate.optics import Optics

OPTICS = Optics(energy_ev=80e3, semiangle_mrad=28.0)
CELL = (40.0, 36.0, 20.0)


def memory(cell=CELL, optics=OPTICS, **settings):
    return plan_multislice(cell, optics, MultisliceConfig(**settings)).memory_bytes


def test_the_grid_holds_the_largest_angle_a_slice_can_scatter_by_and_is_fine_enough_for_heavy_atoms():
    config = MultisliceConfig(detectors=("haadf", "abf"), angles_mrad={"haadf": (60, 170)})
    plan = plan_multislice(CELL, OPTICS, config)
    for length, n in zip(plan.extent_xy, plan.gpts_xy, strict=True):
        reach_mrad = 1e3 * OPTICS.wavelength_angstrom * n / (2 * length)
        assert 2 / 3 * reach_mrad > 170 + OPTICS.semiangle_mrad
        assert length / n <= 0.05


def test_the_scattering_matrix_is_kept_to_the_outermost_detector_and_hardly_beyond():
    config = MultisliceConfig(angles_mrad={"haadf": (60, 150)}, interpolation=3)
    plan = plan_multislice(CELL, OPTICS, config)
    for length, n in zip(plan.extent_xy, plan.reduced_xy, strict=True):
        kept_mrad = 1e3 * OPTICS.wavelength_angstrom * n / (2 * length)
        assert 150 < kept_mrad < 175
    assert all(3 * w == n for w, n in zip(plan.window_xy, plan.reduced_xy, strict=True))


def test_prism_s_window_holds_what_the_top_of_a_thick_crystal_scatters():
    config = MultisliceConfig(angles_mrad={"haadf": (60, 100)})
    thin, thick = (plan_multislice((90.0, 90.0, depth), Optics(200e3, 22.0), config) for depth in (20.0, 200.0))
    windows = [90.0 / plan.interpolation_xy[0] for plan in (thin, thick)]
    assert windows[0] < 15
    # at 60 mrad through all of it, to either side
    assert windows[1] > 2 * 0.06 * 200


def test_the_scan_is_as_dense_as_the_band_limit_asks():
    plan = plan_multislice(CELL, OPTICS, MultisliceConfig())
    for length, n in zip(plan.extent_xy, plan.scan_xy, strict=True):
        assert n / length / 2 >= OPTICS.band_limit


def test_the_number_of_plane_waves_is_the_aperture_s_area():
    for factor in (1, 3):
        plan = plan_multislice(CELL, OPTICS, MultisliceConfig(interpolation=factor))
        area = 3.14159 * (OPTICS.band_limit / 2) ** 2 * prod(plan.extent_xy) / factor**2
        assert plan.n_beams == pytest.approx(area, rel=0.06)


def test_a_sheet_has_a_slice_for_each_plane_and_a_crystal_equal_ones():
    plan = plan_multislice((9.0, 9.0, 4.17), OPTICS, MultisliceConfig(), heights=[3.67, 0.5, 2.085, 2.1, 0.5])
    assert plan.slices == pytest.approx((1.585, 1.585, 1.0))
    plan = plan_multislice((9.0, 9.0, 39.05), OPTICS, MultisliceConfig(), heights=[0.97, 2.93])
    assert plan.n_slices == 20 and plan.slices == pytest.approx((1.9525,) * 20)
    assert plan_multislice((9.0, 9.0, 4.0), OPTICS, MultisliceConfig(slice_thickness=1.0)).n_slices == 4


def test_memory_grows_with_field_thickness_and_plane_waves_and_falls_with_interpolation():
    assert memory((80.0, 72.0, 20.0), interpolation=3) > 3.5 * memory(interpolation=3)
    assert memory((40.0, 36.0, 400.0), interpolation=3) > memory(interpolation=3)
    assert memory(interpolation=1) > 2 * memory(interpolation=2) > 2 * memory(interpolation=4)
    assert memory(method="multislice") < memory(interpolation=1)
    assert memory(chunk_mb=1000) > memory(chunk_mb=50)


def test_settings_said_to_fit_do_fit():
    config = MultisliceConfig(interpolation=1)
    free = memory(interpolation=1) // 3
    advice = settings_that_fit(CELL, OPTICS, config, free_bytes=free)
    factor = next(int(a.split("=")[1].split(",")[0]) for a in advice if a.startswith("interpolation"))
    smaller = replace(config, interpolation=factor, chunk_mb=config.chunk_mb / 8)
    assert plan_multislice(CELL, OPTICS, smaller).memory_bytes < free
    assert any("multislice" in a for a in advice) and any("field of" in a for a in advice)
    assert settings_that_fit(CELL, OPTICS, config, free_bytes=1000) == []


@pytest.mark.parametrize(("least", "multiple"), [(353.2, 6), (17.0, 1), (64.0, 8)])
def test_fast_lengths_are_smooth_and_not_too_long(least, multiple):
    n = fast_length(least, multiple=multiple)
    assert n >= least and n % multiple == 0 and n < 1.25 * least + multiple
    rest = n // multiple
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1


def test_free_memory_is_told_on_linux():
    free = free_memory()
    assert free is None or free > 1e7


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed")
def test_the_gpu_without_cupy_says_what_to_install():
    with pytest.raises(MissingPackageError, match="cupy"):
        free_memory("gpu")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"method": "bloch"}, "prism, multislice"),
        ({"device": "tpu"}, "device"),
        ({"detectors": "haadf"}, "tuple"),
        ({"detectors": ()}, "tuple"),
        ({"detectors": ("haadf", "haadf")}, "different"),
        ({"detectors": ("eels",)}, "eels"),
        ({"pixel_size": 0.0}, "pixel_size"),
        ({"phonons": -1}, "phonons"),
        ({"interpolation": 0}, "interpolation"),
    ],
)
def test_wrong_settings_are_named(settings, word):
    with pytest.raises(AtomnbError, match=word):
        MultisliceConfig(**settings)
