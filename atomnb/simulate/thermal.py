"""How far atoms vibrate: the one table that multislice and the convolution model draw from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from atomnb.errors import AtomnbError

ROOM_TEMPERATURE: Mapping[str, float] = {
    "C": 0.06, "B": 0.065, "N": 0.065, "Si": 0.08, "S": 0.08, "Se": 0.075, "Mo": 0.065, "W": 0.06, "Sr": 0.08,
    "Ti": 0.07, "O": 0.08, "Pb": 0.09, "Ga": 0.09, "As": 0.085,
}  # fmt: skip
"""Root-mean-square displacement along each axis at room temperature, Å; about what diffraction gives."""

UNLISTED = 0.07
"""The same for any other element."""


def thermal_widths(symbols: list[str], thermal: float | Mapping[str, float] | None) -> np.ndarray:
    """Root-mean-square displacement (N,) of each atom, Å.

    Parameters
    ----------
    symbols : (N,) chemical symbols
    thermal : one displacement for all, Å; or one by symbol; None = `ROOM_TEMPERATURE`

    Raises
    ------
    AtomnbError
        If a mapping lacks an element.
    """
    if thermal is None:
        return np.array([ROOM_TEMPERATURE.get(s, UNLISTED) for s in symbols])
    if not isinstance(thermal, Mapping):
        return np.full(len(symbols), float(thermal))
    missing = sorted(set(symbols) - set(thermal))
    if missing:
        raise AtomnbError(f"thermal_angstrom has no displacement for {', '.join(missing)}: add them, in Å.")
    return np.array([float(thermal[s]) for s in symbols])
