"""One opener for each file format: from a path to the signals in it, through RosettaSciIO where it has a reader."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from atomnb._require import require
from atomnb.errors import AtomnbError, FileFormatError
from atomnb.io import safety
from atomnb.io.metadata import acquisition
from atomnb.io.signals import Axis, Signal, plain_axes, text_or_none

EXTENSIONS: Mapping[str, str] = {
    ".dm3": "dm", ".dm4": "dm",
    ".emd": "hdf5", ".h5": "hdf5", ".hdf5": "hdf5", ".hspy": "hdf5",
    ".ser": "ser", ".emi": "emi", ".mrc": "mrc", ".zspy": "zspy",
    ".tif": "tif", ".tiff": "tif", ".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".npy": "npy",
    ".sxm": "sxm",
}  # fmt: skip
"""File endings that are read, and the format each stands for."""

_NOT_IMAGES: Mapping[str, str] = {
    ".csv": "a table of numbers or labels", ".tsv": "a table of numbers or labels", ".txt": "a text file",
    ".json": "a description", ".xyz": "a list of atoms", ".cif": "a crystal structure", ".md": "a text file",
}  # fmt: skip


def known_endings() -> str:
    """The endings that are read, for messages."""
    return ", ".join(sorted(EXTENSIONS))


def detect_format(path: Path) -> str:
    """Format of a file from its first bytes and its ending; the bytes win.

    Raises
    ------
    FileNotFoundError, FileFormatError
    """
    ending = path.suffix.lower()
    if path.is_dir() and ending == ".zspy":
        return "zspy"
    safety.require_file(path)
    content, expected = safety.sniff(path), EXTENSIONS.get(ending)
    if content == "pickle":
        raise FileFormatError(
            f"{path.name} is a Python pickle, which can run code and is never opened: save the image with numpy.save "
            "or as .tif."
        )
    if content == "zip":
        if expected == "zspy":
            return "zspy"
        raise FileFormatError(f"{path.name} is a zip archive: unpack it and read the file inside it{_members(path)}.")
    if content == "gzip":
        raise FileFormatError(f"{path.name} is compressed with gzip: unpack it first.")
    if content is None and expected in ("emi", "mrc", "sxm"):
        return expected
    if content is None:
        raise FileFormatError(_unknown(path, ending, expected))
    return content


def _unknown(path: Path, ending: str, expected: str | None) -> str:
    if expected is not None:
        return (
            f"{path.name} does not begin like a {ending} file: it is damaged, or another format under the wrong name. "
            "Copy it again from the microscope."
        )
    what = _NOT_IMAGES.get(ending)
    says = f"is {what}, not an image" if what else "is not an image of a format known here"
    return f"{path.name} {says}. These can be read: {known_endings()}."


def _members(path: Path) -> str:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return " (it is damaged)"
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def open_signals(path: Path) -> tuple[str, list[Signal]]:
    """All signals of a file, their pixels unread where the format allows, and the name of the reader.

    Raises
    ------
    FileNotFoundError, FileFormatError
    """
    kind = detect_format(path)
    with reading(path):
        reader, signals = _OPENERS[kind](path)
        for signal in signals:
            safety.check_frame(signal.shape, signal.data.dtype, _stored_bytes(path), name=path.name)
    return reader, signals


@contextmanager
def reading(path: Path):
    """Turn whatever a reader throws on a damaged file into one clear error, and keep its own remarks out."""
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in ("rsciio", "tifffile")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        except (AtomnbError, FileNotFoundError, PermissionError, ImportError):
            raise
        except Exception as error:  # the readers raise anything from struct.error to MemoryError on damaged files
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FileFormatError(
                f"{path.name} cannot be read: {reason}. It is probably truncated or damaged: copy it again from the "
                "microscope, or save it as .tif or .hspy in the program that wrote it."
            ) from error
        finally:
            for logger, level in loggers.items():
                logger.setLevel(level)


def _stored_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if path.suffix.lower() == ".emi":
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}*.ser"))
    return path.stat().st_size


def _from_rosettasciio(dictionaries: list[dict[str, Any]]) -> list[Signal]:
    return [_from_dictionary(d) for d in dictionaries if "data" in d]


def _from_dictionary(d: Mapping[str, Any]) -> Signal:
    general = d.get("metadata", {}).get("General", {})
    kind = d.get("metadata", {}).get("Signal", {}).get("signal_type") or ""
    return Signal(
        data=d["data"],
        axes=tuple(_axis(a, n) for a, n in zip(d["axes"], d["data"].shape, strict=True)),
        name=text_or_none(general.get("title")) or "",
        kind=str(kind),
        metadata=acquisition(d),
    )


def _axis(axis: Mapping[str, Any], size: int) -> Axis:
    scale = axis.get("scale")
    return Axis(
        name=text_or_none(axis.get("name")) or "",
        size=int(size),
        scale=None if scale is None else float(scale),
        unit=text_or_none(axis.get("units")),
        is_navigation=bool(axis.get("navigate", False)),
    )


def _open_dm(path: Path) -> tuple[str, list[Signal]]:
    return "rsciio.digitalmicrograph", _complete(path, _rosettasciio("digitalmicrograph", path))


def _open_tia(path: Path) -> tuple[str, list[Signal]]:
    return "rsciio.tia", _complete(path, _rosettasciio("tia", path))


def _open_mrc(path: Path) -> tuple[str, list[Signal]]:
    safety.check_mrc(path)
    return "rsciio.mrc", _complete(path, _rosettasciio("mrc", path))


def _complete(path: Path, signals: list[Signal]) -> list[Signal]:
    for signal in signals:
        safety.check_complete(int(signal.data.nbytes), _stored_bytes(path), name=path.name)
    return signals


def _rosettasciio(plugin: str, path: Path) -> list[Signal]:
    return _from_rosettasciio(import_module(f"rsciio.{plugin}").file_reader(str(path), lazy=True))


def _open_hdf5(path: Path) -> tuple[str, list[Signal]]:
    from atomnb.io.hdf5_layouts import layout_of, open_bare

    layout = layout_of(path)
    if layout == "hspy":
        return "rsciio.hspy", _open_hspy(path)
    if layout == "emd":
        emd = import_module("rsciio.emd")
        # Only images: the spectrum streams of Velox files are large and need another package.
        return "rsciio.emd", _from_rosettasciio(emd.file_reader(str(path), lazy=True, select_type="images"))
    return "h5py", open_bare(path)


def _open_hspy(path: Path) -> list[Signal]:
    try:
        return _rosettasciio("hspy", path)
    except ValueError as error:
        if "already a dask array" not in str(error):
            raise
        # RosettaSciIO 0.15 cannot leave the pixels on disk when the file has markers that differ from frame to frame.
        return _from_rosettasciio(import_module("rsciio.hspy").file_reader(str(path), lazy=False))


def _open_zspy(path: Path) -> tuple[str, list[Signal]]:
    safety.check_zarr(path)
    require("zarr", extra="zspy")
    zspy = import_module("rsciio.zspy")
    return "rsciio.zspy", _from_rosettasciio(zspy.file_reader(str(path), lazy=True, mode="r"))


def _open_tif(path: Path) -> tuple[str, list[Signal]]:
    from tifffile import PHOTOMETRIC, PLANARCONFIG, TiffFile

    with TiffFile(path) as tiff:
        if not tiff.series:
            raise FileFormatError(f"{path.name} holds no image: it is a TIFF without pages.")
        for series in tiff.series:
            safety.check_frame(series.shape, series.dtype, path.stat().st_size, name=path.name)
        first = [series.pages[0] for series in tiff.series]
        if any(p.photometric == PHOTOMETRIC.RGB and p.planarconfig == PLANARCONFIG.SEPARATE for p in first):
            raise FileFormatError(
                f"{path.name} keeps red, green and blue in separate planes, which is not read: save it in grey."
            )
        pages = [len(series.pages) for series in tiff.series]
        is_stack = any(series.ndim > 2 + ("S" in series.axes) for series in tiff.series)
        imagej = dict(tiff.imagej_metadata or {})
    dictionaries = _tif_stack(path, pages) if is_stack else _rosettasciio_tif(path, lazy=False)
    return "rsciio.tiff", [_tif_axes(s, imagej) for s in _from_rosettasciio(dictionaries)]


def _rosettasciio_tif(path: Path, *, lazy: bool) -> list[dict[str, Any]]:
    return import_module("rsciio.tiff").file_reader(str(path), lazy=lazy)


def _tif_stack(path: Path, pages: list[int]) -> list[dict[str, Any]]:
    """The signals of a TIFF of several frames, with pixels read frame by frame, each time from the file anew."""
    import gc

    dictionaries = _rosettasciio_tif(path, lazy=True)
    for index, (d, n_pages) in enumerate(zip(dictionaries, pages, strict=True)):
        shape, dtype = d["data"].shape, d["data"].dtype
        in_pages = n_pages == int(np.prod(shape[:-2]))
        d["data"] = _tif_pages(path, index, shape, dtype) if in_pages else _tif_block(path, index)
    gc.collect()  # RosettaSciIO leaves the file open in a reference cycle; close it now, not at some later time
    return dictionaries


def _tif_block(path: Path, series: int):
    """A series stored as one block, as ImageJ writes large stacks: mapped, or read whole if it is compressed."""
    import dask.array as da
    from tifffile import imread, memmap

    try:
        pixels = memmap(path, series=series, mode="r")
    except ValueError:
        pixels = imread(path, series=series)
    return da.from_array(pixels, chunks=(*(1 for _ in pixels.shape[:-2]), *pixels.shape[-2:]))


def _tif_pages(path: Path, series: int, shape: tuple[int, ...], dtype: np.dtype):
    import dask.array as da
    from dask import delayed

    frames = int(np.prod(shape[:-2]))
    grey = dtype if dtype.names is None else np.dtype(dtype[0])
    frame_shape = shape[-2:] if dtype.names is None else (*shape[-2:], len(dtype.names))
    pages = [da.from_delayed(delayed(_tif_page)(path, series, i), frame_shape, grey) for i in range(frames)]
    stacked = da.stack(pages).reshape((*shape[:-2], *frame_shape))
    if dtype.names is None:
        return stacked
    return stacked.map_blocks(_records, dtype=dtype, drop_axis=stacked.ndim - 1)


def _tif_page(path: Path, series: int, page: int) -> np.ndarray:
    from tifffile import imread

    return imread(path, series=series, key=page)


def _records(block: np.ndarray) -> np.ndarray:
    from rsciio.utils.rgb import regular_array2rgbx

    return regular_array2rgbx(block)


def _tif_axes(signal: Signal, imagej: Mapping[str, Any]) -> Signal:
    """A TIFF series with its axes before the last two as navigation, and what RosettaSciIO leaves out of ImageJ's.

    Of an ImageJ file, RosettaSciIO 0.15 takes the scale but only the unit 'micron', and not the frame interval.
    """
    unit = text_or_none(str(imagej.get("unit") or "").replace("\\u00B5", "µ"))
    interval = imagej.get("finterval")
    space = len(signal.axes) - 2
    axes = [a._replace(is_navigation=True) for a in signal.axes[:space]]
    if axes and interval:
        axes[0] = axes[0]._replace(scale=float(interval), unit=str(imagej.get("tunit") or "s"))
    axes += [a._replace(is_navigation=False, unit=a.unit or unit) for a in signal.axes[space:]]
    return replace(signal, axes=tuple(axes))


def _open_picture(path: Path) -> tuple[str, list[Signal]]:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            bands = len(picture.getbands())
            safety.check_frame((picture.height, picture.width * bands), np.uint8, path.stat().st_size, name=path.name)
            pixels = _picture_pixels(picture)
    except Image.DecompressionBombError as error:
        raise FileFormatError(f"{path.name}: {error} Save it as .tif, which can be opened piece by piece.") from error
    return "pillow", [Signal(pixels, plain_axes(pixels.shape))]


def _picture_pixels(picture) -> np.ndarray:
    """(H, W) numbers, or records of red, green and blue; transparency is ignored, a palette is resolved."""
    from rsciio.utils.rgb import regular_array2rgbx

    if picture.mode in ("1", "L", "I", "F", "I;16", "I;16B", "I;16L"):
        return np.asarray(picture)
    if picture.mode == "LA":
        return np.asarray(picture.getchannel("L"))
    return regular_array2rgbx(np.ascontiguousarray(picture.convert("RGB")))


def _open_npy(path: Path) -> tuple[str, list[Signal]]:
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise FileFormatError(
                f"{path.name} holds Python objects (a pickle), which can run code and are never opened. If it is an "
                "image, save it again as a plain array: numpy.save(path, image.astype(float))."
            ) from error
        if "mmap length" in str(error):
            raise FileFormatError(f"{path.name} is truncated: it is shorter than its header says.") from error
        raise
    return "numpy", [Signal(pixels, plain_axes(pixels.shape))]


def _open_sxm(path: Path) -> tuple[str, list[Signal]]:
    from atomnb.io.stm import open_sxm

    return "atomnb.io.stm", open_sxm(path)


_OPENERS: Mapping[str, Callable[[Path], tuple[str, list[Signal]]]] = {
    "dm": _open_dm, "ser": _open_tia, "emi": _open_tia, "mrc": _open_mrc, "hdf5": _open_hdf5, "zspy": _open_zspy,
    "tif": _open_tif, "png": _open_picture, "jpg": _open_picture, "npy": _open_npy,
    "sxm": _open_sxm,
}  # fmt: skip
