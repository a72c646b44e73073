"""Micrograph: what may be an image, what its scale means, and that nothing is modified."""

import dataclasses

import numpy as np
import pytest

from atomnb import Micrograph, as_micrograph
from atomnb.data.micrograph import check_pixels, length_in_angstrom, square_pixel_size
from atomnb.errors import CalibrationError, ImageError


def test_arrays_become_micrographs_without_a_scale(rng):
    data = rng.random((20, 30))
    image = as_micrograph(data)
    assert image.data is data
    assert image.pixel_size is None
    assert image.field_of_view is None
    assert "uncalibrated" in repr(image)
    assert as_micrograph(data, pixel_size=0.2).field_of_view == pytest.approx((4.0, 6.0))


def test_a_micrograph_passes_through_and_can_get_another_scale(rng):
    image = Micrograph(rng.random((20, 30)), pixel_size=0.1, name="a")
    assert as_micrograph(image) is image
    other = as_micrograph(image, pixel_size=0.2)
    assert (other.pixel_size, other.name, image.pixel_size) == (0.2, "a", 0.1)


def test_lists_and_booleans():
    mask = np.zeros((16, 16), bool)
    mask[3] = True
    assert as_micrograph(mask).data.dtype == np.uint8
    assert as_micrograph(mask.astype(float).tolist()).shape == (16, 16)


def test_frames_of_a_stack(rng):
    data = rng.integers(0, 9, (3, 16, 20))
    stack = Micrograph(data)
    assert stack.is_stack
    assert stack.n_frames == 3
    assert [f.dtype for f in stack.frames()] == [np.float32] * 3
    np.testing.assert_array_equal(stack.frame(2), data[2])
    for index in (3, -1):
        with pytest.raises(ImageError, match=r"3 frame\(s\)"):
            stack.frame(index)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros(64), "got shape"),
        (np.zeros((2, 2, 32, 32)), "got shape"),
        (np.zeros((15, 64)), "at least 16"),
        (np.zeros((0, 32, 32)), "at least 16"),
        (np.zeros((64, 64, 3)), "colour"),
        (np.zeros((32, 32), complex), "complex"),
        (np.full((32, 32), "a"), "expected numbers"),
        ("image.dm3", "read_image"),
    ],
)
def test_what_is_no_image(data, message):
    with pytest.raises(ImageError, match=message):
        as_micrograph(data)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_scales_that_are_no_length(value):
    with pytest.raises(CalibrationError, match="pixel_size"):
        Micrograph(np.zeros((16, 16)), pixel_size=value)
    with pytest.raises(CalibrationError, match="time_step"):
        Micrograph(np.zeros((2, 16, 16)), time_step=value)


def test_pixels_that_cannot_be_analysed():
    image = np.ones((16, 16), np.float32)
    with pytest.raises(ImageError, match="constant"):
        check_pixels(image)
    image[0, :8] = np.nan
    with pytest.raises(ImageError, match=r"scan holds 8 NaN .*\(3\.1%\)"):
        check_pixels(image, name="scan")
    with pytest.raises(ImageError, match="no number"):
        check_pixels(np.full((16, 16), np.nan))


def test_nothing_can_be_changed_afterwards(rng):
    given = {"a": 1}
    image = Micrograph(rng.random((16, 16)), metadata=given)
    given["a"] = 2
    assert image.metadata["a"] == 1
    with pytest.raises(TypeError):
        image.metadata["a"] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        image.pixel_size = 1.0


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(1, "nm", 10), (1, "Å", 1), (1, "A", 1), (5, "pm", 0.05), (1, "µm", 1e4), (1, "um", 1e4), (1e-10, "m", 1)],
)
def test_lengths(value, unit, expected):
    assert length_in_angstrom(value, unit) == pytest.approx(expected)


@pytest.mark.parametrize("unit", [None, "", "1/nm", "mrad", "eV", "px", "s"])
def test_what_is_no_length(unit):
    assert length_in_angstrom(1.0, unit) is None


def test_square_pixels():
    assert square_pixel_size(0.1, 0.1005) == pytest.approx(0.10025)
    with pytest.raises(CalibrationError, match=r"0\.1 Å high and 0\.2 Å wide"):
        square_pixel_size(0.1, 0.2)
