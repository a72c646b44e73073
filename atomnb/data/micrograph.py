"""Micrograph: an image (or stack) with its scale, and the one coercer every public function uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np

from atomnb.errors import CalibrationError, ImageError

MIN_SIDE = 16
"""Smallest image side, in pixels, that can hold a few resolved atoms."""

ANGSTROM_PER_UNIT: Mapping[str, float] = MappingProxyType(
    {
        "m": 1e10, "cm": 1e8, "mm": 1e7, "um": 1e4, "µm": 1e4, "μm": 1e4, "micrometer": 1e4, "micron": 1e4,
        "nm": 10.0, "nanometer": 10.0, "å": 1.0, "Å": 1.0, "angstrom": 1.0, "a": 1.0, "pm": 0.01, "picometer": 0.01,
    }
)  # fmt: skip
"""Length units met in microscope files, in Å. Anything else is not a length."""

NON_SQUARE_TOLERANCE = 0.01
"""Relative difference of the two pixel sizes above which pixels count as non-square."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """An image or a stack of images with its physical scale.

    Parameters
    ----------
    data : array, shape (H, W) or (T, H, W)
        Real numbers; NumPy, or a dask array when the file was opened lazily. Never modified.
    pixel_size : float or None
        Side of a (square) pixel in Å; None = uncalibrated.
    time_step : float or None
        Time between the frames of a stack, in s; None = unknown.
    name : str
        What to call the image in tables and pictures.
    metadata : mapping
        Acquisition metadata as read (beam energy, detector, source file, ...).
    """

    data: Any
    pixel_size: float | None = None
    time_step: float | None = None
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_shape(self.data)
        object.__setattr__(self, "pixel_size", _positive(self.pixel_size, "pixel_size", "Å"))
        object.__setattr__(self, "time_step", _positive(self.time_step, "time_step", "s"))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of one frame, in pixels."""
        return tuple(int(n) for n in self.data.shape[-2:])

    @property
    def is_stack(self) -> bool:
        return self.data.ndim == 3

    @property
    def is_lazy(self) -> bool:
        """Whether the pixels are still on disk (a dask array)."""
        return hasattr(self.data, "dask")

    @property
    def n_frames(self) -> int:
        return int(self.data.shape[0]) if self.is_stack else 1

    @property
    def field_of_view(self) -> tuple[float, float] | None:
        """(height, width) in Å, or None when uncalibrated."""
        return None if self.pixel_size is None else tuple(n * self.pixel_size for n in self.shape)

    def frame(self, index: int = 0) -> np.ndarray:
        """Frame `index` as a checked float32 array of shape (H, W), loaded into memory.

        Raises
        ------
        ImageError
            If the frame holds NaN or infinity, or is constant.
        """
        if not 0 <= index < self.n_frames:
            raise ImageError(f"frame {index} does not exist: {self.name or 'the image'} has {self.n_frames} frame(s).")
        pixels = np.asarray(self.data[index] if self.is_stack else self.data)
        return check_pixels(pixels.astype(np.float32), name=self.name)

    def frames(self) -> Iterator[np.ndarray]:
        """The frames one after the other, each as `frame` gives it."""
        return (self.frame(i) for i in range(self.n_frames))

    def with_pixel_size(self, pixel_size: float | None) -> Micrograph:
        """The same image with another pixel size (Å), or None."""
        return replace(self, pixel_size=pixel_size)

    def to_hyperspy(self):
        """As a HyperSpy `Signal2D` with calibrated axes (lazy when the data are)."""
        from atomnb.io.bridges import to_hyperspy

        return to_hyperspy(self)

    def __repr__(self) -> str:
        size = " × ".join(str(n) for n in self.data.shape)
        scale = "uncalibrated" if self.pixel_size is None else f"{self.pixel_size:.4g} Å/px"
        return f"Micrograph({self.name!r}, {size} px, {scale})"


def as_micrograph(image, *, pixel_size: float | None = None, non_square: str = "raise") -> Micrograph:
    """Turn what the user has into a `Micrograph`.

    Parameters
    ----------
    image : Micrograph, array of shape (H, W) or (T, H, W), or HyperSpy Signal2D (lazy too)
    pixel_size : float, optional
        Å; replaces the scale the image carries.
    non_square : {'raise', 'resample'}
        What to do with non-square pixels of a HyperSpy signal.

    Raises
    ------
    ImageError, CalibrationError
    """
    if isinstance(image, Micrograph):
        micrograph = image
    elif hasattr(image, "axes_manager"):
        from atomnb.io.bridges import from_hyperspy

        micrograph = from_hyperspy(image, non_square=non_square)
    else:
        micrograph = Micrograph(_real_array(image))
    return micrograph if pixel_size is None else micrograph.with_pixel_size(pixel_size)


def check_pixels(pixels: np.ndarray, *, name: str = "") -> np.ndarray:
    """Return `pixels` (H, W) unchanged if they can be analysed.

    Raises
    ------
    ImageError
        On NaN, infinity, or a constant image.
    """
    label = name or "the image"
    bad = int(pixels.size - np.isfinite(pixels).sum())
    if bad == pixels.size:
        raise ImageError(f"{label} holds no number, only NaN or infinity: choose another channel or export it again.")
    if bad:
        raise ImageError(
            f"{label} holds {bad} NaN or infinite pixels ({bad / pixels.size:.1%}). Crop the unfinished part of the "
            "scan, or fill it, for example with skimage.restoration.inpaint_biharmonic."
        )
    if float(pixels.min()) == float(pixels.max()):
        raise ImageError(f"{label} is constant (every pixel is {pixels.flat[0]:g}): choose another channel or frame.")
    return pixels


def length_in_angstrom(value: float, unit: str | None) -> float | None:
    """`value` in Å, or None when `unit` is not a length atomnb knows."""
    if unit is None:
        return None
    text = str(unit).strip()
    factor = ANGSTROM_PER_UNIT.get(text, ANGSTROM_PER_UNIT.get(text.lower()))
    return None if factor is None else float(value) * factor


def square_pixel_size(size_y: float, size_x: float) -> float:
    """The side of a square pixel, in Å.

    Raises
    ------
    CalibrationError
        If the two sides differ by more than 1 %.
    """
    if abs(size_y - size_x) > NON_SQUARE_TOLERANCE * max(size_y, size_x):
        raise CalibrationError(
            f"the pixels are not square: {size_y:.4g} Å high and {size_x:.4g} Å wide. Resample the image first: "
            "read_image(path, non_square='resample') or as_micrograph(signal, non_square='resample')."
        )
    return 0.5 * (size_y + size_x)


def _positive(value, argument: str, unit: str) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not (np.isfinite(number) and number > 0):
        raise CalibrationError(f"{argument} must be a positive number of {unit} or None (unknown), got {value!r}.")
    return number


def _real_array(image) -> Any:
    if isinstance(image, (str, bytes, PathLike)):
        raise ImageError(f"expected pixels, got {image!r}: open files with atomnb.read_image.")
    data = image if hasattr(image, "dask") else np.asarray(image)
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    return data


def _check_shape(data) -> None:
    kind = getattr(getattr(data, "dtype", None), "kind", None)
    if kind is None:
        raise ImageError(f"expected an array of pixels, got {type(data).__name__}: use atomnb.read_image for files.")
    if kind == "c":
        raise ImageError(
            "the image is complex (a diffractogram or an exit wave?): pass a real image, such as its absolute value."
        )
    if kind not in "uif":
        raise ImageError(f"expected numbers, got dtype {data.dtype}.")
    if data.ndim not in (2, 3):
        raise ImageError(f"expected an image (H, W) or a stack (T, H, W), got shape {tuple(data.shape)}.")
    if data.ndim == 3 and data.shape[-1] in (3, 4) and data.shape[0] >= MIN_SIDE:
        raise ImageError(
            f"shape {tuple(data.shape)} looks like a colour picture: average its channels, or use atomnb.read_image."
        )
    if min(data.shape[-2:]) < MIN_SIDE or data.shape[0] == 0:
        raise ImageError(
            f"the image is {tuple(data.shape)} px; at least {MIN_SIDE} × {MIN_SIDE} px are needed to resolve atoms."
        )
