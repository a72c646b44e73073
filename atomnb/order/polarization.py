"""Polar displacements of perovskites: each column from the centre of the columns around it, with errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.order.perovskite_sites import find_perovskite_sites

MICROCOULOMB_PER_CM2 = 1602.176634
"""One elementary charge per Å², in µC/cm²."""

POLARIZATION_COLUMNS = (
    *("y", "x", "site", "atom", "d_y", "d_x", "d_y_err", "d_x_err", "length", "length_err", "direction"),
    *("corners", "area", "p_y", "p_x", "p_y_err", "p_x_err"),
)
"""Columns of the table `measure_polarization` gives."""

_REACH = 1.35
"""Corners are sought up to this many times the usual distance from a centre to its nearest one."""

_OPPOSITE = np.deg2rad(30)
"""Two corners belong together if they lie opposite one another within this angle."""


def measure_polarization(
    atoms,
    *,
    a_site: int | str | None = None,
    b_site: int | str | None = None,
    charge: float | None = None,
    depth_angstrom: float | None = None,
) -> pd.DataFrame:
    """Displacement of each B column from the centre of its four A columns, and of each A from its four B.

    Parameters
    ----------
    atoms : AtomTable of one frame, calibrated
    a_site, b_site : int or str, optional
        Which columns are A and B: an int means the table's `sublattice` (0 is the brightest), a str its `species`.
        Without them, `find_perovskite_sites` tells by their places, A being the brighter ones.
    charge : float, optional
        Effective charge in e that a displacement of B against A carries, for the polarisation: charge × displacement /
        cell volume. The Born charge of B alone leaves out the oxygen, which moves too: take a value that gives the
        known polarisation at the known displacement. It is positive for BaTiO₃ and negative for PbTiO₃, where lead
        moves farther against oxygen than titanium does.
    depth_angstrom : float, optional
        Height of the cell along the beam; by default the square root of its area in the image.

    Returns
    -------
    pandas.DataFrame
        A row for each A and B column that has corners on opposite sides; positions `y`, `x` in px; `site` 'A' or 'B';
        `atom` its row in the table; `d_y`, `d_x` the displacement in Å, y down, with errors; its `length` and
        `direction` (rad from +x toward +y); `corners` used, 4 or 2; `area` of the cell in the image, Å²;
        `p_y`, `p_x` the polarisation in µC/cm² with errors (NaN without `charge`). For A the displacement is against
        B, so in a uniform crystal it is the opposite of B's, and the polarisation is the same.

    Raises
    ------
    AtomnbError
        If a site has no columns, the table is uncalibrated or holds several frames.

    Notes
    -----
    The centre is the mean of the corners; where corners are missing, of two that lie opposite one another. Errors are
    those of the column and its corners, which neighbouring cells share: the errors of neighbours are correlated.
    `length` of a zero displacement is not zero but of the order of its error. What is measured is the place of the
    column in the image: a column of titanium and oxygen that do not stand behind one another is seen between them.

    Examples
    --------
    >>> import numpy as np
    >>> a = 4.0 * np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
    >>> df = pd.DataFrame(np.vstack([a, a + [2.0, 2.2]]), columns=["y", "x"]).assign(sublattice=[0] * 25 + [1] * 25)
    >>> found = measure_polarization(AtomTable(df, pixel_size=1.0), a_site=0, b_site=1)
    >>> found[found["site"] == "B"]["d_x"].round(6).unique().tolist()
    [0.2]
    """
    yx, errors = _checked(atoms)
    is_a, is_b = _sites(atoms, a_site, b_site)
    if depth_angstrom is not None and not depth_angstrom > 0:
        raise AtomnbError(f"depth_angstrom must be positive, got {depth_angstrom!r}.")
    tables = [
        _displaced(yx, errors, np.flatnonzero(is_b), np.flatnonzero(is_a), "B"),
        _displaced(yx, errors, np.flatnonzero(is_a), np.flatnonzero(is_b), "A"),
    ]
    found = pd.concat(tables, ignore_index=True)
    found = found.assign(y=atoms.df["y"].to_numpy()[found["atom"]], x=atoms.df["x"].to_numpy()[found["atom"]])
    return _with_polarization(found, charge, depth_angstrom)[list(POLARIZATION_COLUMNS)]


def displacements_from_centres(centres_yx, corners_yx) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Displacement of points from the middle of the four corners around them.

    Parameters
    ----------
    centres_yx, corners_yx : arrays (N, 2), (M, 2)
        In one unit.

    Returns
    -------
    displacement : (N, 2), NaN where no two corners lie opposite one another
    corner : (N, 4) int, the corners used, −1 where fewer
    area : (N,) of the square or parallelogram the corners span, NaN as above
    """
    centres, corners = np.asarray(centres_yx, float), np.asarray(corners_yx, float)
    corner = np.full((len(centres), 4), -1)
    if len(centres) and len(corners) >= 4:
        distance, nearest = cKDTree(corners).query(centres, k=4)
        there = distance <= _REACH * np.median(distance[:, 0])
        corner = _opposite(np.where(there, nearest, -1), corners, centres)
    used = corner >= 0
    places = np.full((*corner.shape, 2), np.nan)
    places[used] = corners[corner[used]]
    count = used.sum(axis=1)
    middle = np.where(used[..., None], places, 0).sum(axis=1) / np.where(count, count, np.nan)[:, None]
    return centres - middle, corner, _area(places)


def _opposite(nearest: np.ndarray, corners: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The corners (N, 4) that have a partner opposite them, the partner two places on; −1 for the rest."""
    offset = corners[nearest] - centres[:, None]
    angle = np.where(nearest >= 0, np.arctan2(offset[..., 0], offset[..., 1]), np.nan)
    apart = np.abs(np.abs(angle[:, :, None] - angle[:, None, :]) - np.pi)
    partner = np.nanargmin(np.where(np.isnan(apart), np.inf, apart), axis=2)
    rows = np.arange(len(nearest))[:, None]
    paired = (apart[rows, np.arange(4), partner] < _OPPOSITE) & (partner[rows, partner] == np.arange(4))
    result = np.full(nearest.shape, -1)
    first = paired & (np.arange(4) < partner)
    slot = np.cumsum(first, axis=1) - 1
    row, column = np.nonzero(first)
    result[row, slot[row, column]] = nearest[row, column]
    result[row, slot[row, column] + 2] = nearest[row, partner[row, column]]
    return result


def _area(places: np.ndarray) -> np.ndarray:
    """Half the cross product of the diagonals (N,); of one diagonal alone, that of the square it spans."""
    first, second = places[:, 2] - places[:, 0], places[:, 3] - places[:, 1]
    whole = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    return np.where(np.isnan(whole), (first**2).sum(axis=1) / 2, whole)


def _checked(atoms: AtomTable) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(atoms, AtomTable):
        raise AtomnbError(f"atoms must be an AtomTable with sublattice or species, got {type(atoms).__name__}.")
    if atoms.df["frame"].nunique() > 1:
        raise AtomnbError("the table holds several frames: measure one at a time, atoms.in_frame(0).")
    if not np.isfinite(atoms.positions_yx).all():
        raise AtomnbError("the table holds NaN or infinite positions: drop those rows first.")
    yx = atoms.in_angstrom()
    return yx, atoms.errors_yx * atoms.pixel_size


def _sites(atoms: AtomTable, a_site, b_site) -> tuple[np.ndarray, np.ndarray]:
    if (a_site is None) != (b_site is None):
        raise AtomnbError("give both a_site and b_site, or neither.")
    if a_site is None:
        sites = find_perovskite_sites(atoms)
        return sites == "A", sites == "B"
    return _is_site(atoms, a_site), _is_site(atoms, b_site)


def _is_site(atoms: AtomTable, site: int | str) -> np.ndarray:
    column = "species" if isinstance(site, str) else "sublattice"
    found = (atoms.df[column] == site).to_numpy()
    if len(atoms) and not found.any():
        raise AtomnbError(
            f"no column has {column} {site!r}; there are {sorted(set(atoms.df[column]))}: choose a_site and b_site."
        )
    return found


def _displaced(yx, errors, centre: np.ndarray, corner: np.ndarray, site: str) -> pd.DataFrame:
    displacement, used, area = displacements_from_centres(yx[centre], yx[corner])
    known = used >= 0
    count = known.sum(axis=1)
    corner_variance = np.zeros((*used.shape, 2))
    corner_variance[known] = errors[corner[used[known]]] ** 2
    corner_variance = corner_variance.sum(axis=1)
    error = np.sqrt(errors[centre] ** 2 + corner_variance / np.where(count, count, np.nan)[:, None] ** 2)
    length = np.hypot(*displacement.T)
    share = displacement / np.where(length > 0, length, np.nan)[:, None]
    length_error = np.where(length > 0, np.hypot(*(share * error).T), np.hypot(*error.T) / 2**0.5)
    frame = pd.DataFrame(
        {
            "site": site, "atom": centre, "corners": count, "area": area, "length": length,
            "d_y": displacement[:, 0], "d_x": displacement[:, 1], "d_y_err": error[:, 0], "d_x_err": error[:, 1],
            "length_err": length_error, "direction": np.arctan2(displacement[:, 0], displacement[:, 1]),
        }
    )  # fmt: skip
    return frame[count > 0].astype({"site": object})


def _with_polarization(found: pd.DataFrame, charge: float | None, depth: float | None) -> pd.DataFrame:
    height = np.sqrt(found["area"]) if depth is None else depth
    per_angstrom = (np.nan if charge is None else charge) * MICROCOULOMB_PER_CM2 / (found["area"] * height)
    sign = np.where(found["site"] == "B", 1.0, -1.0)
    return found.assign(
        p_y=sign * per_angstrom * found["d_y"],
        p_x=sign * per_angstrom * found["d_x"],
        p_y_err=np.abs(per_angstrom) * found["d_y_err"],
        p_x_err=np.abs(per_angstrom) * found["d_x_err"],
    )
