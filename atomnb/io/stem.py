"""Read microscope images: any supported file becomes a Micrograph with its scale in Å and its metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbWarning, CalibrationError, FileFormatError, ImageError
from atomnb.io.formats import open_signals, reading
from atomnb.io.metadata import DARK_FIELD
from atomnb.io.signals import Signal, to_micrograph
from atomnb.said import warn


class ImageEntry(NamedTuple):
    """One signal of a file: `pixel_size` is in Å, None when uncalibrated; `is_image` tells whether it can be read."""

    index: int
    name: str
    shape: tuple[int, ...]
    pixel_size: float | None
    is_image: bool


def read_image(
    path,
    *,
    pixel_size: float | None = None,
    channel: int | str | None = None,
    lazy: bool | None = None,
    non_square: str = "raise",
) -> Micrograph:
    """Read an image or a stack of images from a microscope file.

    Parameters
    ----------
    path : str or path
        A .dm3, .dm4, .emd, .ser, .emi, .mrc, .hspy, .zspy, .tif, .png, .jpg, .npy, .h5, .hdf5 or (STM) .sxm file.
    pixel_size : float, optional
        Å; replaces the scale in the file.
    channel : int or str, optional
        Which signal of a file with several: its index or name as `list_images` gives them. By default the HAADF
        image, else another dark-field image, else the largest; of STM scans the topograph, or the current of a scan at
        constant height.
    lazy : bool, optional
        Leave the pixels on disk until a frame is asked for. By default stacks are lazy and single images are not.
    non_square : {'raise', 'resample'}
        What to do with pixels that are not square.

    Returns
    -------
    Micrograph
        `metadata` tells the source file, reader and channel chosen, and what the file states of the acquisition
        (`beam_energy_kev`, `detector`, `magnification`, `dwell_time_s`, `date`, …).

    Raises
    ------
    FileFormatError
        If the file is damaged, unsafe, or no image format.
    ImageError
        If it holds no usable image (a spectrum, a line, complex numbers, smaller than 16 px).
    CalibrationError
        If its pixels are not square.

    Warns
    -----
    CalibrationWarning
        If the file states a scale without a unit of length; the image then counts as uncalibrated.
    AtomnbWarning
        If a scan was not finished; the rows that were never recorded are left out.

    Examples
    --------
    >>> from atomnb.data.examples import sample_path
    >>> read_image(sample_path("si-110"))
    Micrograph('Si110_5nmX25us_03_none_none', 512 × 512 px, uncalibrated)
    """
    path = Path(path)
    reader, signals = open_signals(path)
    index = _choose(signals, channel, path)
    signal = _described(signals, index, reader, path)
    if pixel_size is not None:
        signal = _with_scale(signal, pixel_size)
    micrograph = to_micrograph(signal, non_square=non_square)
    _warn_unfinished(micrograph)
    keep_lazy = micrograph.is_stack if lazy is None else lazy
    with reading(path):
        return _checked_lazy(micrograph) if keep_lazy else _loaded(micrograph)


def list_images(path) -> list[ImageEntry]:
    """The signals in a file, to choose a `channel` for `read_image`.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    list of ImageEntry
        (index, name, shape, pixel_size in Å or None, is_image) of each signal, spectra and diffractograms included.

    Raises
    ------
    FileFormatError
    """
    _, signals = open_signals(Path(path))
    return [ImageEntry(i, s.name, s.shape, _pixel_size(s), s.why_not_image() is None) for i, s in enumerate(signals)]


def _pixel_size(signal: Signal) -> float | None:
    sizes = signal.pixel_sizes()
    return None if sizes is None else float(np.mean(sizes))


def _choose(signals: list[Signal], channel: int | str | None, path: Path) -> int:
    if channel is None:
        return _best(signals, path)
    names = [s.name for s in signals]
    if isinstance(channel, str) and channel in names:
        return names.index(channel)
    if isinstance(channel, int) and 0 <= channel < len(signals):
        return channel
    raise ImageError(f"{path.name} has no channel {channel!r}; it has {_listing(signals)}.")


def _best(signals: list[Signal], path: Path) -> int:
    usable = [i for i, s in enumerate(signals) if s.why_not_image() is None]
    if not usable:
        raise ImageError(
            f"{path.name} holds no usable image, only {_listing(signals) or 'metadata'}. Pass a file with an image of "
            "at least 16 × 16 px."
        )
    return max(usable, key=lambda i: (*_rank(signals[i]), -i))


def _rank(signal: Signal) -> tuple[bool, bool, bool, int]:
    words = signal.name.upper().replace("-", " ").replace("_", " ")
    detector = str(signal.metadata.get("detector", "")).upper()
    pixels = signal.image_axes[-1].size * signal.image_axes[-2].size
    dark = any(w.rstrip("0123456789") in DARK_FIELD for w in f"{words} {detector}".split())
    return not signal.is_reciprocal, "HAADF" in f"{words} {detector}", dark, pixels


def _listing(signals: list[Signal]) -> str:
    return "; ".join(
        f"{i}: {s.name or 'unnamed'} {s.shape}" + (f" ({reason})" if (reason := s.why_not_image()) else "")
        for i, s in enumerate(signals)
    )


def _described(signals: list[Signal], index: int, reader: str, path: Path) -> Signal:
    signal = signals[index]
    about = {
        "source_file": path.name,
        "reader": reader,
        "channel": index,
        "channel_name": signal.name,
        "channels": tuple(s.name for s in signals),
        "dtype": str(signal.data.dtype) if signal.data.dtype.names is None else "colour",
    }
    # Named after the file, so that two images from one detector differ; the detector's name stays in the metadata.
    return replace(signal, name=path.stem, metadata={**signal.metadata, **about})


def _warn_unfinished(micrograph: Micrograph) -> None:
    missing = micrograph.metadata.get("rows_missing")
    if missing:
        warn(
            f"{micrograph.name}: the scan was not finished; {missing} rows without values are left out.",
            AtomnbWarning,
            stacklevel=3,
        )


def _with_scale(signal: Signal, pixel_size: float) -> Signal:
    """The scale given by the user in place of the file's; of pixels that are not square, it is the shorter side."""
    if not (np.isfinite(pixel_size) and pixel_size > 0):
        raise CalibrationError(f"pixel_size must be a positive number of Å or None (unknown), got {pixel_size!r}.")
    sizes = signal.pixel_sizes()
    factors = (1.0, 1.0) if sizes is None else tuple(s / min(sizes) for s in sizes)
    spatial = {id(axis): f for axis, f in zip(signal.image_axes[-2:], factors, strict=True)}
    axes = tuple(
        a._replace(scale=float(pixel_size) * spatial[id(a)], unit="Å") if id(a) in spatial else a for a in signal.axes
    )
    return replace(signal, axes=axes)


def _loaded(micrograph: Micrograph) -> Micrograph:
    """The same image in memory, in the byte order of this machine."""
    data = micrograph.data
    # One thread: the readers share one open file, and starting a pool costs more than reading an image.
    pixels = data.compute(scheduler="synchronous") if micrograph.is_lazy else np.array(data)
    return replace(micrograph, data=pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def _checked_lazy(micrograph: Micrograph) -> Micrograph:
    """The same image as a dask array of whole frames, after its last frame has been read once."""
    import dask.array as da

    data = micrograph.data
    frame = (*(1 for _ in data.shape[:-2]), *data.shape[-2:])
    lazy = data.rechunk(frame) if hasattr(data, "dask") else da.from_array(data, chunks=frame)
    last = (lazy[-1] if lazy.ndim == 3 else lazy).compute(scheduler="synchronous")
    if last.shape != micrograph.shape:
        raise FileFormatError(f"{micrograph.name}: the last frame has shape {last.shape}, expected {micrograph.shape}.")
    return replace(micrograph, data=lazy)
