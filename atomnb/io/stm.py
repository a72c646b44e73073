"""Read scans of tunnelling microscopes: Nanonis .sxm files, upright, in Å and pA, with bias and setpoint.

The format is plain (a text header, then big-endian floats), so it is parsed here: of the public readers, nanonispy2
1.2 needs both scan directions in every channel and mirrors neither backward nor upward scans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from atomnb.errors import FileFormatError
from atomnb.io.signals import Axis, Signal

BEGIN, HEADER_END, DATA_MARK = b":NANONIS_VERSION:", b":SCANIT_END:", b"\x1a\x04"
MAX_HEADER = 2**24
"""Bytes; real headers are below 20 kB."""

UNITS: Mapping[str, tuple[str, float]] = {"m": ("Å", 1e10), "A": ("pA", 1e12)}
"""Units of the file that are changed: to which, and the factor. Heights in metres would be lost in rounding."""

_SCANS: Mapping[str, tuple[str, ...]] = {
    "both": ("forward", "backward"), "forward": ("forward",), "backward": ("backward",),
}  # fmt: skip


class Channel(NamedTuple):
    """One quantity recorded: its name, unit in the file, and the directions it was recorded in."""

    name: str
    unit: str
    directions: tuple[str, ...]


class Header(NamedTuple):
    """What the header of a .sxm file states: (H, W) px, (height, width) Å, channels, and all entries as text."""

    shape: tuple[int, int]
    range_yx: tuple[float, float]
    is_up: bool
    channels: tuple[Channel, ...]
    entries: Mapping[str, str]


def open_sxm(path: Path) -> list[Signal]:
    """The images of a Nanonis scan, first row at the top, fast axis to the right; the best one to look at first.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    list of Signal
        One for each channel and direction, named as in the file ('Z', 'Current', …; 'Z backward', …); heights in Å,
        currents in pA. First the topograph, or the current of a scan at constant height. Rows at the ends that were
        never recorded are left out; `metadata["rows_missing"]` counts them.

    Raises
    ------
    FileFormatError
        If the header or the pixels are damaged or incomplete.
    """
    raw = path.read_bytes()
    header, start = _read_header(raw, path.name)
    images = [(c, d) for c in header.channels for d in c.directions]
    pixels = _read_pixels(raw, start, len(images), header.shape, path.name)
    signals = [_signal(header, c, d, image) for (c, d), image in zip(images, pixels, strict=True)]
    return sorted(signals, key=lambda s: _preference(s, header))


def _read_header(raw: bytes, name: str) -> tuple[Header, int]:
    if not raw.startswith(BEGIN):
        raise FileFormatError(
            f"{name} does not begin like a Nanonis .sxm file: it is damaged, or another format under the wrong name."
        )
    end = raw.find(HEADER_END, 0, MAX_HEADER)
    mark = -1 if end < 0 else raw.find(DATA_MARK, end, end + 64)
    if mark < 0:
        raise FileFormatError(f"{name} is truncated: its header has no end. Copy it again from the microscope.")
    entries = _entries(raw[:end].decode("latin-1"))
    width, height = (int(n) for n in _numbers(entries, "SCAN_PIXELS", name))
    range_x, range_y = _numbers(entries, "SCAN_RANGE", name)
    if min(width, height) < 1:
        raise FileFormatError(f"{name} states an image of {height} × {width} px: its header is damaged.")
    encoding = entries.get("SCANIT_TYPE", "").split()
    if encoding != ["FLOAT", "MSBFIRST"]:
        raise FileFormatError(
            f"{name} stores its pixels as {' '.join(encoding) or 'nothing known'}; only FLOAT MSBFIRST is known."
        )
    is_up = entries.get("SCAN_DIR", "").strip().lower() == "up"
    size = (1e10 * range_y, 1e10 * range_x)
    return Header((height, width), size, is_up, _channels(entries, name), entries), mark + len(DATA_MARK)


def _entries(text: str) -> dict[str, str]:
    """Every ':NAME:' line of the header with the text below it."""
    parts = re.split(r"^:([^\n]+?):[ \t\r]*$", text, flags=re.MULTILINE)
    return {key.strip(): value.strip("\r\n") for key, value in zip(parts[1::2], parts[2::2], strict=True)}


def _numbers(entries: Mapping[str, str], key: str, name: str) -> tuple[float, float]:
    try:
        first, second = (float(word) for word in entries[key].split())
    except (KeyError, ValueError):
        stated = entries.get(key, "").strip() or "nothing"
        raise FileFormatError(
            f"{name}: {key} should be two numbers, the header has {stated!r}. The file is damaged: copy it again."
        ) from None
    return first, second


def _channels(entries: Mapping[str, str], name: str) -> tuple[Channel, ...]:
    rows = [line.strip("\r").split("\t")[1:] for line in entries.get("DATA_INFO", "").splitlines() if line.strip()]
    columns = {title.strip(): i for i, title in enumerate(rows[0])} if rows else {}
    try:
        where = [columns[title] for title in ("Name", "Unit", "Direction")]
        found = [[row[i].strip() for i in where] for row in rows[1:]]
        channels = tuple(Channel(title, unit, _SCANS[scans.lower()]) for title, unit, scans in found)
    except (KeyError, IndexError):
        channels = ()
    if not channels:
        raise FileFormatError(f"{name}: the list of channels (DATA_INFO) is missing or damaged: copy the file again.")
    return channels


def _read_pixels(raw: bytes, start: int, n_images: int, shape: tuple[int, int], name: str) -> np.ndarray:
    """(N, H, W) float32, in the order recorded."""
    expected = 4 * n_images * shape[0] * shape[1]
    if len(raw) - start != expected:
        problem = "is truncated" if len(raw) - start < expected else "holds more than its header says"
        raise FileFormatError(
            f"{name} {problem}: {n_images} images of {shape[0]} × {shape[1]} px need {expected} bytes, there are "
            f"{len(raw) - start}. Copy it again from the microscope."
        )
    return np.frombuffer(raw, ">f4", offset=start).reshape(n_images, *shape).astype(np.float32)


def _signal(header: Header, channel: Channel, direction: str, pixels: np.ndarray) -> Signal:
    unit, factor = UNITS.get(channel.unit, (channel.unit, 1.0))
    upright = pixels[:: -1 if header.is_up else 1, :: -1 if direction == "backward" else 1]
    recorded = np.flatnonzero(np.isfinite(upright).all(axis=1))
    kept = upright[recorded[0] : recorded[-1] + 1] if len(recorded) else upright[:0]
    missing = len(upright) - len(kept)
    steps = [length / n for length, n in zip(header.range_yx, header.shape, strict=True)]
    axes = [Axis(name, n, step, "Å", False) for name, n, step in zip("yx", kept.shape, steps, strict=True)]
    about = {**_metadata(header, channel), "value_unit": unit, "fast_scan": direction}
    return Signal(
        data=kept * np.float32(factor),
        axes=tuple(axes),
        name=channel.name if direction == "forward" else f"{channel.name} {direction}",
        metadata=about | ({"rows_missing": missing} if missing else {}),
    )


def _metadata(header: Header, channel: Channel) -> dict[str, Any]:
    """What the file states of the scan under our names; `detector` is what tells that atoms are bright."""
    entries = header.entries
    setpoint, unit = _setpoint(entries)
    line_time = _float(entries.get("SCAN_TIME", "").split()[:1])
    angle, comment = _float([entries.get("SCAN_ANGLE", "")]), entries.get("COMMENT", "").strip()
    found = {
        "technique": "STM",
        "detector": {"m": "STM height", "A": "STM current"}.get(channel.unit),
        "bias_v": _float([entries.get("BIAS", "")]),
        "setpoint_pa": None if setpoint is None or unit != "A" else 1e12 * setpoint,
        "feedback": None if (on := _feedback(entries)) is None else ("on" if on else "off"),
        "scan_time_s": _float([entries.get("ACQ_TIME", "")]),
        "line_time_s": line_time,
        "dwell_time_s": None if line_time is None else line_time / header.shape[1],
        "scan_direction": "up" if header.is_up else "down",
        "scan_angle_deg": angle,
        "date": _iso_date(entries.get("REC_DATE", "")),
        "time": entries.get("REC_TIME", "").strip(),
        "comment": comment,
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _controller(entries: Mapping[str, str]) -> dict[str, str]:
    """The Z controller's row of the header: column title -> text."""
    rows = [line.split("\t")[1:] for line in entries.get("Z-CONTROLLER", "").splitlines() if line.strip()]
    return dict(zip((c.strip() for c in rows[0]), rows[1], strict=False)) if len(rows) > 1 else {}


def _setpoint(entries: Mapping[str, str]) -> tuple[float | None, str]:
    value, _, unit = _controller(entries).get("Setpoint", "").strip().partition(" ")
    return _float([value]), unit


def _feedback(entries: Mapping[str, str]) -> bool | None:
    """Whether the tip followed the surface; False for scans at constant height, None when not stated."""
    return {"1": True, "0": False}.get(_controller(entries).get("on", "").strip())


def _float(words: list[str]) -> float | None:
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def _iso_date(text: str) -> str:
    found = re.fullmatch(r"\s*(\d{1,2})\.(\d{1,2})\.(\d{4})\s*", text)
    return f"{found[3]}-{int(found[2]):02}-{int(found[1]):02}" if found else text.strip()


def _preference(signal: Signal, header: Header) -> tuple[int, bool]:
    """Topograph before current, or the other way round at constant height; forward before backward."""
    order = ("Current", "Z") if _feedback(header.entries) is False else ("Z", "Current")
    quantity = signal.name.removesuffix(" backward")
    rank = order.index(quantity) if quantity in order else len(order)
    return rank, signal.metadata["fast_scan"] == "backward"
