"""Sites of a lattice that a model filled although the image shows nothing there."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NEIGHBOURS = 24
"""Nearest atoms of the same kind with which an atom is compared."""

LEAST = 0.33
"""Share of their median intensity below which a site is empty; one of two atoms in a column gives 0.4 or more."""

SIGNIFICANT = 3.0
"""Robust standard deviations of their intensities by which it must fall short of them."""


def is_present(positions_yx: np.ndarray, intensity: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Mask (N,) of the atoms whose fitted intensity is not that of an empty site.

    A network that knows one lattice expects an atom on each of its sites. The raw image decides: an atom far fainter
    than its neighbours of the same kind, by more than these differ among themselves, is none. Where noise or contrast
    leave that open the atom stays.

    Parameters
    ----------
    positions_yx : (N, 2) px
    intensity : (N,) integrated signal of the joint fit
    kind : (N,) class of each atom; kinds are compared with themselves only
    """
    positions_yx, intensity, kind = np.asarray(positions_yx), np.asarray(intensity, float), np.asarray(kind)
    present = np.ones(len(intensity), bool)
    for name in dict.fromkeys(kind.tolist()):
        mine = np.flatnonzero(kind == name)
        if len(mine) <= NEIGHBOURS:
            continue
        nearest = cKDTree(positions_yx[mine]).query(positions_yx[mine], k=NEIGHBOURS + 1)[1][:, 1:]
        around = intensity[mine][nearest]
        typical = np.median(around, axis=1)
        spread = 1.48 * np.median(np.abs(around - typical[:, None]), axis=1)
        own = intensity[mine]
        present[mine] = (own >= LEAST * typical) | (typical - own <= SIGNIFICANT * spread)
    return present
