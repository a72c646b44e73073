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

OTHER = 0.6
"""Share of the median intensity of another kind nearby from which on it may be one of that kind: an antisite."""

LEAST_OTHER = 0.15
"""Share of its own kind's median that the other kind's must have: an empty site is not quite dark, and as bright as the
faintest columns."""


def is_present(positions_yx: np.ndarray, intensity: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Mask (N,) of the atoms whose fitted intensity is not that of an empty site.

    A network that knows one lattice expects an atom on each of its sites. The raw image decides: an atom far fainter
    than its neighbours of the same kind, by more than these differ among themselves, is none, unless it is as bright as
    those of another kind (manganese on a lanthanum site). Where noise or contrast leave that open the atom stays.

    Parameters
    ----------
    positions_yx : (N, 2) px
    intensity : (N,) integrated signal of the joint fit
    kind : (N,) class of each atom; kinds are compared with themselves only
    """
    positions_yx, intensity, kind = np.asarray(positions_yx), np.asarray(intensity, float), np.asarray(kind)
    present = np.ones(len(intensity), bool)
    kinds = [name for name in dict.fromkeys(kind.tolist()) if (kind == name).sum() > NEIGHBOURS]
    for name in kinds:
        mine = np.flatnonzero(kind == name)
        typical, spread = _around(positions_yx, intensity, mine, mine)
        own = intensity[mine]
        present[mine] = (own >= LEAST * typical) | (typical - own <= SIGNIFICANT * spread)
        doubtful = np.flatnonzero(~present[mine])
        for other in kinds if len(doubtful) else ():
            if other != name:
                its, spread = _around(positions_yx, intensity, np.flatnonzero(kind == other), mine[doubtful])
                seen = (its >= LEAST_OTHER * typical[doubtful]) & (its >= SIGNIFICANT * spread)
                present[mine[doubtful]] |= seen & (own[doubtful] >= OTHER * its)
    return present


def _around(positions_yx, intensity, members: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median intensity of the nearest members of a kind round each of the atoms (n,), and its robust spread (n,)."""
    nearest = cKDTree(positions_yx[members]).query(positions_yx[atoms], k=NEIGHBOURS + 1)[1]
    itself = members[nearest] == atoms[:, None]
    itself[~itself.any(axis=1), -1] = True  # an atom of another kind: leave out the farthest
    around = intensity[members][nearest][~itself].reshape(len(atoms), NEIGHBOURS)
    typical = np.median(around, axis=1)
    return typical, 1.48 * np.median(np.abs(around - typical[:, None]), axis=1)
