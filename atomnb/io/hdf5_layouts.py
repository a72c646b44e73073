"""HDF5 files that no standard describes: bare arrays with the metadata some group or program puts beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atomnb.errors import FileFormatError
from atomnb.io import safety
from atomnb.io.signals import Axis, Signal, plain_axes

MAX_DATASETS = 500
"""Datasets of an unknown file that are offered as channels."""

_LIBRARY_INPUT = "nn_input"
_SCAN_SIZE = "scan size"
_SCAN_SIZE_NM_TAG = "ScanSize(nm)"


def layout_of(path: Path) -> str:
    """'hspy', 'emd' or 'bare': which reader an HDF5 file is for.

    Raises
    ------
    FileFormatError
        If the pixels lie in other files.
    """
    import h5py
    from rsciio.emd._api import is_EMD_NCEM, is_EMD_Velox

    with h5py.File(path, "r") as file:
        safety.check_hdf5(file, name=path.name)
        if "Experiments" in file:
            return "hspy"
        return "emd" if is_EMD_Velox(file) or is_EMD_NCEM(file) else "bare"


def open_bare(path: Path) -> list[Signal]:
    """The numeric datasets of a bare HDF5 file, `nn_input` or `image_data` first.

    The scale comes from, in this order: Nion Swift's calibrations; `scan size` in pm beside the pixels (the layout of
    the graphene library files); a `scan size` that a tag with a unit confirms. A `scan size` without a unit is
    reported by a CalibrationWarning when read, and not used.

    Raises
    ------
    FileFormatError
        If there is no numeric array.
    """
    import h5py

    file = h5py.File(path, "r")  # stays open as long as the lazy arrays live
    names = _numeric_datasets(file)
    if not names:
        raise FileFormatError(
            f"{path.name} is an HDF5 file without any array of numbers in two dimensions: it holds no image."
        )
    return [_signal(file[name], file) for name in names]


def _numeric_datasets(file) -> list[str]:
    import h5py

    found: list[str] = []

    def collect(name: str, item) -> bool | None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "uifbc" and item.ndim >= 2 and item.size:
            found.append(name)
        return True if len(found) >= MAX_DATASETS else None  # any value but None ends the walk

    file.visititems(collect)
    preferred = (_LIBRARY_INPUT, "image_data")
    return sorted(found, key=lambda name: (name not in preferred, name))


def _signal(dataset, file) -> Signal:
    import dask.array as da

    name = dataset.name.strip("/")
    # Whole frames, whatever the chunks in the file: those are often tiny, and each costs a task.
    data = da.from_array(dataset, chunks=_frame_chunks(dataset.shape))
    nion = _json(dataset.attrs.get("properties"))
    if nion.get("dimensional_calibrations"):
        return Signal(data, _nion_axes(dataset, nion), str(nion.get("title") or name), metadata=_nion_metadata(nion))
    if name == _LIBRARY_INPUT and data.ndim == 4 and data.shape[-1] == 1:
        data = data[..., 0]
    stated = _json(dataset.attrs.get("metadata")) or _json(_scalar(file.get("metadata")))
    scale, unit = _field_of_view_scale(dataset, stated, data.shape)
    return Signal(data, plain_axes(data.shape, scale=scale, unit=unit), name, metadata=_metadata(stated))


def _frame_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape) if len(shape) == 2 else (1, *shape[1:])


def _field_of_view_scale(dataset, stated: Mapping[str, Any], shape) -> tuple[float | None, str | None]:
    """Scale per px and its unit from `scan size`: the side of the whole field of view."""
    beside_pixels = _number(dataset.attrs.get(_SCAN_SIZE))
    if beside_pixels is None and "metadata" in dataset.attrs:
        beside_pixels = _number(stated.get(_SCAN_SIZE))
    if beside_pixels is not None:
        return beside_pixels / shape[-1], "pm"
    size = _number(stated.get(_SCAN_SIZE))
    if size is None:
        return None, None
    tags = stated.get("all microscope parameters")
    if isinstance(tags, Mapping) and any(
        _number(value) == size for key, value in tags.items() if key.endswith(_SCAN_SIZE_NM_TAG)
    ):
        return size / shape[-1], "nm"
    return size / shape[-1], None


def _metadata(stated: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {
        "beam_energy_kev": _number(stated.get("acc voltage")),
        "detector": stated.get("type of data"),
        "sample": stated.get("sample name"),
    }
    return {key: value for key, value in renamed.items() if value not in (None, "", "NA", "N/A")}


def _nion_axes(dataset, properties: Mapping[str, Any]) -> tuple[Axis, ...]:
    calibrations = properties["dimensional_calibrations"]
    if len(calibrations) != dataset.ndim:
        return plain_axes(dataset.shape)
    images = int(properties.get("datum_dimension_count", 2))
    return tuple(
        Axis("", int(n), _number(c.get("scale")), c.get("units") or None, i < dataset.ndim - max(images, 2))
        for i, (n, c) in enumerate(zip(dataset.shape, calibrations, strict=True))
    )


def _nion_metadata(properties: Mapping[str, Any]) -> dict[str, Any]:
    metadata = properties.get("metadata") or {}
    instrument, scan = metadata.get("instrument") or {}, metadata.get("scan") or {}
    source = metadata.get("hardware_source") or {}
    volts = _number(instrument.get("high_tension") or (source.get("autostem") or {}).get("high_tension_v"))
    dwell = _number(scan.get("pixel_time_us") or source.get("pixel_time_us"))
    found = {
        "beam_energy_kev": None if volts is None else volts / 1000,
        "dwell_time_s": None if dwell is None else dwell * 1e-6,
        "detector": source.get("channel_name"),
        "date": properties.get("created"),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _scalar(node):
    """The value of a scalar dataset, None for anything else."""
    return node[()] if node is not None and getattr(node, "shape", None) == () else None


def _json(value) -> dict[str, Any]:
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if not isinstance(value, str):
        return {}
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _number(value) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(np.asarray(value).reshape(-1)[0]) if value is not None else None
    except (TypeError, ValueError, IndexError):
        return None
    return number if number is not None and np.isfinite(number) else None
