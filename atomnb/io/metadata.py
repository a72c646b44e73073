"""Acquisition metadata of all formats under one set of plain names."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

_HYPERSPY_NAMES: Mapping[str, tuple[str, ...]] = {
    "beam_energy_kev": ("Acquisition_instrument.TEM.beam_energy", "Acquisition_instrument.SEM.beam_energy"),
    "magnification": ("Acquisition_instrument.TEM.magnification", "Acquisition_instrument.SEM.magnification"),
    "camera_length_mm": ("Acquisition_instrument.TEM.camera_length",),
    "microscope": ("Acquisition_instrument.TEM.microscope", "Acquisition_instrument.SEM.microscope"),
    "date": ("General.date",),
    "time": ("General.time",),
    "detector_gain": ("Signal.Noise_properties.Variance_linear_model.gain_factor",),
    "detector_offset": ("Signal.Noise_properties.Variance_linear_model.gain_offset",),
}
"""Our name, and where HyperSpy's metadata keeps it."""

_DWELL_SECONDS: Mapping[str, float] = {
    "scan.dwelltime": 1.0,
    "digiscan.sample time": 1e-6,
    "superscan.pixeltime(us)": 1e-6,
    "dwell time path [s]": 1.0,
}
"""Ends of the vendors' own names (lower case) for the dwell time, and their unit in s."""

_DETECTOR_KEYS = ("binaryresult.detector", "detectorname", "signal name", "detector")
MAX_DEPTH = 12

NODE = "atomnb"
"""Where our own metadata lies in those of a HyperSpy signal, so that the way back is exact."""

DARK_FIELD = frozenset({"HAADF", "MAADF", "LAADF", "ADF", "DF"})
DETECTORS = DARK_FIELD | {"BF", "ABF", "DPC", "IDPC", "DDPC", "SE"}
"""Names of STEM detectors, without their numbers."""


def acquisition(signal: Mapping[str, Any]) -> dict[str, Any]:
    """Plain acquisition metadata of a RosettaSciIO signal dictionary.

    Parameters
    ----------
    signal : mapping
        With `metadata`, `original_metadata` and optionally `mapping`, as RosettaSciIO readers return.

    Returns
    -------
    dict
        Those of `beam_energy_kev`, `magnification`, `camera_length_mm`, `microscope`, `detector`, `dwell_time_s`,
        `date`, `time`, `detector_gain` and `detector_offset` that the file states.
    """
    ours = (signal.get("metadata") or {}).get(NODE) or {}
    original = _flatten(signal.get("original_metadata") or {})
    nested = _mapped(signal, original)
    found = {name: _first(nested, paths) for name, paths in _HYPERSPY_NAMES.items()}
    found["dwell_time_s"] = _dwell(original)
    found["detector"] = _detector(nested, original)
    stated = {name: _plain(value) for name, value in found.items() if value not in (None, "")}
    return {**{name: _plain(value) for name, value in ours.items() if np.isscalar(value)}, **stated}


def _detector(nested: Mapping[str, Any], original: Mapping[str, Any]) -> str | None:
    """The detector: the signal's own title when that is one, else what the vendor's tags say."""
    title = str(nested.get("General.title", "")).strip()
    if title.upper().rstrip("0123456789") in DETECTORS:
        return title
    ends = ((end, key) for end in _DETECTOR_KEYS for key in original if key.lower().endswith(end))
    return next((original[key] for _, key in ends if isinstance(original[key], str)), None)


def _mapped(signal: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """HyperSpy metadata, flat, after the reader's `mapping` from the vendor's names has been applied."""
    flat = _flatten(signal.get("metadata") or {})
    for source, (target, convert) in (signal.get("mapping") or {}).items():
        if source not in original:
            continue
        try:
            value = convert(original[source]) if convert else original[source]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            continue  # a vendor's odd value: the file stays readable without it
        if value is not None:
            flat.setdefault(target, value)
    return flat


def _flatten(tree: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            flat.update(_flatten(value, f"{prefix}{key}.", depth + 1))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _first(flat: Mapping[str, Any], paths: tuple[str, ...]):
    return next((flat[path] for path in paths if flat.get(path) not in (None, "")), None)


def _dwell(original: Mapping[str, Any]) -> float | None:
    for key, value in original.items():
        for end, factor in _DWELL_SECONDS.items():
            if key.lower().endswith(end):
                try:
                    return float(value) * factor
                except (TypeError, ValueError):
                    continue
    return None


def _plain(value):
    """JSON-able: numbers as int or float, anything else as text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return str(value)
