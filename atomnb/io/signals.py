"""Signal: what every reader hands over, and how it becomes a Micrograph with its scale in Å."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from atomnb.data.micrograph import (
    MIN_SIDE,
    NON_SQUARE_TOLERANCE,
    Micrograph,
    length_in_angstrom,
    square_pixel_size,
)
from atomnb.errors import AtomnbError, CalibrationWarning, ImageError
from atomnb.said import warn

SECONDS_PER_UNIT: Mapping[str, float] = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "min": 60.0, "h": 3600.0,
}  # fmt: skip
"""Time units met on the axis along which a stack was recorded, in s."""

SPECTRAL_UNITS = frozenset({"ev", "kev", "mev"})
SPECTRAL_TYPES = ("EELS", "EDS", "CL", "XAS", "XES")
LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue (ITU-R BT.709), as in scikit-image."""


class Axis(NamedTuple):
    """One axis of a signal: `scale` is None when the file gives none, `unit` is the file's text or None."""

    name: str
    size: int
    scale: float | None
    unit: str | None
    is_navigation: bool


@dataclass(frozen=True)
class Signal:
    """One dataset of a file: pixels (NumPy or dask), axes in the order of the array, and metadata."""

    data: Any
    axes: tuple[Axis, ...]
    name: str = ""
    kind: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.data.shape)

    @property
    def image_axes(self) -> tuple[Axis, ...]:
        """The axes of `image_data`: those of length one that are not part of the image are left out."""
        return tuple(self.axes[i] for i in _kept_axes(self.axes))

    @property
    def image_data(self):
        """The pixels with the axes of `image_axes`."""
        kept = _kept_axes(self.axes)
        return self.data[tuple(slice(None) if i in kept else 0 for i in range(len(self.axes)))]

    def why_not_image(self) -> str | None:
        """Why this signal is not an image or a stack of images, in words; None when it is one."""
        units = {(axis.unit or "").lower() for axis in self.axes}
        axes = self.image_axes
        if self.kind.startswith(SPECTRAL_TYPES) or units & SPECTRAL_UNITS:
            return "a spectrum"
        if not is_colour(self.data) and self.data.dtype.kind == "c":
            return "complex (a diffractogram or an exit wave)"
        if not is_colour(self.data) and self.data.dtype.kind not in "uifb":
            return "not numeric"
        if len(axes) < 2 or sum(not a.is_navigation for a in axes) < 2:
            return "a line profile or a spectrum"
        if len(axes) > 3:
            return f"{len(axes)}-dimensional (4D-STEM?)"
        if min(axes[-1].size, axes[-2].size) < MIN_SIDE:
            return f"smaller than {MIN_SIDE} × {MIN_SIDE} px"
        return None

    @property
    def is_reciprocal(self) -> bool:
        """Whether the axes are reciprocal lengths (a diffraction pattern or the modulus of a diffractogram)."""
        return any("1/" in (axis.unit or "").replace(" ", "") or "mrad" in (axis.unit or "") for axis in self.axes)

    def pixel_sizes(self) -> tuple[float, float] | None:
        """Height and width of a pixel in Å, or None when either is unknown."""
        sizes = tuple(_length(axis) for axis in self.image_axes[-2:])
        return None if len(sizes) < 2 or None in sizes else sizes


def plain_axes(shape: tuple[int, ...], *, scale: float | None = None, unit: str | None = None) -> tuple[Axis, ...]:
    """Axes of a bare array: the last two in space, with `scale` in `unit`; those before them navigation."""
    first = len(shape) - 2
    return tuple(
        Axis("", int(n), scale if i >= first else None, unit if i >= first else None, i < first)
        for i, n in enumerate(shape)
    )


def text_or_none(value) -> str | None:
    """Text of a name or unit; None for the many ways readers and HyperSpy say 'not given'."""
    text = "" if value is None else str(value).strip()
    return None if text in ("", "<undefined>", "None") else text


def is_colour(data) -> bool:
    """Whether the pixels are records of red, green, blue (and alpha), as RosettaSciIO stores colour."""
    return {"R", "G", "B"} <= set(data.dtype.names or ())


def to_micrograph(signal: Signal, *, non_square: str = "raise") -> Micrograph:
    """The image or stack in `signal`, with its scale in Å.

    Parameters
    ----------
    signal : Signal
    non_square : {'raise', 'resample'}
        What to do when the pixels are not square.

    Raises
    ------
    ImageError
        If the signal is no image (a spectrum, complex, too small).
    CalibrationError
        If the pixels are not square and `non_square` is 'raise'.
    """
    if non_square not in ("raise", "resample"):
        raise AtomnbError(f"non_square must be 'raise' or 'resample', got {non_square!r}.")
    reason = signal.why_not_image()
    if reason is not None:
        raise ImageError(
            f"{signal.name or 'the signal'} {signal.shape} is not an image: it is {reason}. An image has two axes in "
            f"space, at least {MIN_SIDE} px each; a stack has one more before them."
        )
    data, sizes = _as_grey(signal.image_data), signal.pixel_sizes()
    metadata = dict(signal.metadata)
    if sizes is None:
        _warn_uncalibrated(signal)
    elif non_square == "resample" and not _is_square(sizes):
        metadata["resampled_from_shape"] = tuple(int(n) for n in data.shape[-2:])
        metadata["resampled_from_pixel_sizes"] = sizes
        data, sizes = _resample_square(data, sizes)
    return Micrograph(
        data,
        pixel_size=None if sizes is None else square_pixel_size(*sizes),
        time_step=_time_step(signal.image_axes) if data.ndim == 3 else None,
        name=signal.name,
        metadata=metadata,
    )


def _kept_axes(axes: tuple[Axis, ...]) -> list[int]:
    """Indices of the axes that are left when single-valued ones go: first navigation, then any but two."""
    kept = [i for i, axis in enumerate(axes) if not (axis.is_navigation and axis.size == 1)]
    for i in list(kept):
        if len(kept) > 2 and axes[i].size == 1:
            kept.remove(i)
    return kept


def _length(axis: Axis) -> float | None:
    if axis.scale is None or not np.isfinite(axis.scale) or axis.scale == 0:
        return None
    return length_in_angstrom(abs(axis.scale), axis.unit)


def _time_step(axes: tuple[Axis, ...]) -> float | None:
    factor = SECONDS_PER_UNIT.get((axes[0].unit or "").strip())
    step = axes[0].scale
    return None if factor is None or not step or not np.isfinite(step) else abs(step) * factor


def _warn_uncalibrated(signal: Signal) -> None:
    """Warn when the file states a scale that is no length; a file without any scale needs no warning."""
    stated = [a for a in signal.image_axes[-2:] if a.unit or a.scale not in (None, 0.0, 1.0)]
    if not stated:
        return
    axis = stated[-1]
    why = f"in {axis.unit!r}, which is not a length" if axis.unit else "without a unit"
    warn(
        f"the scale of {signal.name or 'the image'} is given as {_short(axis.scale)} {why}, so it is not used and the "
        "image counts as uncalibrated. If you know the pixel size, set it (Å).",
        CalibrationWarning,
        stacklevel=4,
    )


def _short(number: float | None) -> str:
    return f"{number:.4g}" if isinstance(number, float) else str(number)


def _as_grey(data):
    """The pixels as plain numbers: colour as its luminance (float32), booleans as 0 and 1."""
    if is_colour(data):
        channels = [data[name] for name in "RGB"]
        if not hasattr(data, "dask") and all(np.array_equal(channels[0], c) for c in channels[1:]):
            return channels[0]
        return sum(np.float32(w) * c.astype(np.float32) for w, c in zip(LUMINANCE, channels, strict=True))
    return data.astype(np.uint8) if data.dtype.kind == "b" else data


def _is_square(sizes: tuple[float, float]) -> bool:
    return abs(sizes[0] - sizes[1]) <= NON_SQUARE_TOLERANCE * max(sizes)


def _resample_square(data, sizes: tuple[float, float]):
    """Cubic resampling to square pixels of the finer of the two sizes; the field of view stays the same."""
    fine = min(sizes)
    height, width = (max(1, round(n * s / fine)) for n, s in zip(data.shape[-2:], sizes, strict=True))
    if hasattr(data, "dask"):
        whole = data.rechunk((*(1 for _ in data.shape[:-2]), *data.shape[-2:]))
        chunks = (*whole.chunks[:-2], (height,), (width,))
        square = whole.map_blocks(_zoom, height=height, width=width, chunks=chunks, dtype=np.float32)
    else:
        square = _zoom(np.asarray(data), height=height, width=width)
    return square, (fine, fine)


def _zoom(block: np.ndarray, *, height: int, width: int) -> np.ndarray:
    from scipy.ndimage import zoom

    factors = (*(1 for _ in block.shape[:-2]), height / block.shape[-2], width / block.shape[-1])
    return zoom(block.astype(np.float32), factors, order=3, mode="nearest", grid_mode=True)
