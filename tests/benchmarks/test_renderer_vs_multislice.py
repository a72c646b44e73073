"""The comparison itself: nothing to find between equal images, and planted differences are found at their size."""

import json

import numpy as np
import pytest
import renderer_vs_multislice as rv

pytest.importorskip("ase")

SIDE, PIXEL = 15.0, 0.15


@pytest.fixture(scope="module")
def held():
    """A field of well-separated Mo and S atoms whose 'multislice' image is the convolution model's own."""
    from atomnb.simulate.multislice_plan import MultisliceConfig
    from atomnb.simulate.optics import Optics

    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(-1, 2) * 3.0
    numbers = np.where(np.arange(25) % 2, 16, 42)
    config = MultisliceConfig(phonons=2, thermal_angstrom={"Mo": 0.05, "S": 0.08, "Ca": 0.08}, pixel_size=PIXEL)
    provenance = {"optics": Optics(80e3, 28.0).to_dict(), "config": config.to_dict()}
    field = {
        "haadf": np.zeros((100, 100)), "scale_haadf": 1.0, "pixel_size": PIXEL, "columns_yx": grid[:, ::-1] / PIXEL,
        "content": np.where(numbers == 42, "Mo", "S"), "numbers": numbers, "cell": np.array([SIDE, SIDE, 5.0]),
        "atoms_xyz": np.c_[grid, np.full(25, 2.5)], "provenance": np.array(json.dumps(provenance)),
    }  # fmt: skip
    return field | {"haadf": rv.convolution(field, "haadf", moved=True)}


def test_equal_images_differ_by_nothing_whatever_their_gain(held):
    row = rv.compare(held, "haadf", 7.0 * held["haadf"])
    assert row["image_nrmse"] < 1e-6 and row["profile_nrmse"] < 1e-6 and row["intensity_nrmse"] < 1e-6


def test_atoms_at_rest_differ_by_the_few_configurations_only(held):
    row = rv.compare(held, "haadf", rv.convolution(held, "haadf", moved=False))
    assert 0.01 < row["image_nrmse"] < 0.3
    assert row["profile_nrmse"] < row["image_nrmse"]


def test_a_wrong_brightness_is_found_at_its_size(held):
    brighter = dict(held, numbers=np.where(held["numbers"] == 16, 20, 42))
    row = rv.compare(held, "haadf", rv.convolution(brighter, "haadf", moved=True))
    ratio = row["intensity_by_content"]["S"]["ratio"] / row["intensity_by_content"]["Mo"]["ratio"]
    assert ratio == pytest.approx((20 / 16) ** 1.5, rel=0.15)
    assert row["profile_nrmse"] > 0.05


def test_gaussians_come_close_when_fitted(held):
    row = rv.compare(held, "haadf", rv.gaussians(held, "haadf"))
    assert row["profile_nrmse"] < 0.15


def test_dark_contrast_is_judged_by_its_darkness(held):
    model = held["haadf"]
    dark = dict(held, abf=0.7 - 2.0 * model, scale_abf=1.0)
    assert rv.compare(dark, "abf", model)["image_nrmse"] < 1e-6
