"""Where defects go: random places that do not touch one another."""

from __future__ import annotations

import numpy as np

from atomnb.simulate.structures.base import StructureError


def pick_sites(
    rng: np.random.Generator,
    points: np.ndarray,
    count: int,
    *,
    lengths: np.ndarray,
    gap: float,
    taken: np.ndarray,
    what: str,
) -> np.ndarray:
    """Indices (count,) of random points at least `gap` Å from one another and from the places already taken.

    Parameters
    ----------
    points : (N, D) Å in a box of edges `lengths` (D,) that repeats
    taken : (K, D) Å, places of earlier defects
    what : name of the defect, for the error

    Raises
    ------
    StructureError
        If they do not fit.
    """
    chosen: list[int] = []
    places = [np.asarray(place) for place in taken]
    for index in rng.permutation(len(points)) if count else ():
        if len(chosen) == count:
            break
        offset = points[index] - np.array(places).reshape(-1, points.shape[1])
        offset -= lengths * np.round(offset / lengths)
        if not len(places) or (offset**2).sum(axis=1).min() >= gap**2:
            chosen.append(int(index))
            places.append(points[index])
    if len(chosen) < count:
        raise StructureError(
            f"{count} × {what} do not fit: only {len(chosen)} stand {gap:g} Å apart in "
            f"{lengths[1]:.0f} × {lengths[0]:.0f} Å. Ask for fewer, or for a larger size_angstrom."
        )
    return np.array(chosen, int)
