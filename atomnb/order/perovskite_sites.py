"""Which columns of a perovskite along [001] are A and which are B, where brightness alone cannot tell."""

from __future__ import annotations

import numpy as np

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.order.lattice_index import index_lattice

_LEAST_SQUARE = 0.8


def find_perovskite_sites(atoms: AtomTable, *, brighter: str = "A") -> np.ndarray:
    """A and B columns by their place on the checkerboard they form together.

    Parameters
    ----------
    atoms : AtomTable of one frame
        A and B columns, seen along a cube axis; columns of oxygen alone must not be among them.
    brighter : {'A', 'B'}
        The site whose columns are the brighter ones, by the median over each crystal.

    Returns
    -------
    object array (N,)
        'A', 'B', or '' for columns that belong to no lattice.

    Raises
    ------
    AtomnbError
        If the columns form no square lattice.

    Notes
    -----
    The two sites alternate along the rows, through a heterostructure too: where SrRuO₃ lies between layers of PbTiO₃,
    Ru columns are brighter than Sr, but their place tells that they are B.
    """
    if brighter not in ("A", "B"):
        raise AtomnbError(f"brighter must be 'A' or 'B', got {brighter!r}.")
    yx = atoms.positions_yx
    lattice = index_lattice(yx)
    sites = np.full(len(yx), "", object)
    intensity = atoms.df["intensity"].to_numpy()
    for grain in range(int(lattice.grain.max(initial=-1)) + 1):
        own = np.flatnonzero(lattice.grain == grain)
        odd = _odd(lattice, own)
        values = [np.nanmedian(intensity[own[odd == k]]) if (odd == k).any() else np.nan for k in (False, True)]
        bright = bool(values[1] > values[0])
        sites[own] = np.where(odd == bright, brighter, "AB".replace(brighter, ""))
    return sites


def _odd(lattice, own: np.ndarray) -> np.ndarray:
    """One of the two colours of the checkerboard, for the columns of a grain."""
    first, second = np.median(lattice.frames[own], axis=0)
    lengths = np.hypot(*first), np.hypot(*second)
    across = abs(first @ second) / (lengths[0] * lengths[1])
    if min(lengths) / max(lengths) < _LEAST_SQUARE or across > 1 - _LEAST_SQUARE:
        raise AtomnbError(
            f"the columns do not form the square lattice of a perovskite along [001]: the lattice vectors found are "
            f"{lengths[0]:.2f} and {lengths[1]:.2f} px long and {np.rad2deg(np.arccos(across)):.0f}° apart. Name the "
            "sites by a_site and b_site."
        )
    if lattice.sublattice[own].max() == 0:
        return lattice.indices[own].sum(axis=1) % 2 == 1
    if lattice.sublattice[own].max() == 1:
        return lattice.sublattice[own] == 1
    raise AtomnbError("the columns form more than two sublattices: select the A and B columns first.")
