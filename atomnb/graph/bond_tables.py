"""Bond lengths and angles of the atoms of a defect as tables, each with its standard error."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.geometry import bond_lengths
from atomnb.graph.structure import StructureGraph

BOND_COLUMNS = ("first", "second", "bond", "length", "length_err", "probability")
ANGLE_COLUMNS = ("first", "apex", "second", "corner", "angle", "angle_err")


def measure_bonds(graph: StructureGraph, atoms: AtomTable, members) -> pd.DataFrame:
    """Lengths of the bonds among some atoms.

    Parameters
    ----------
    graph : StructureGraph of one frame
    atoms : AtomTable of that frame, whose rows the graph numbers
    members : (K,) rows, for instance the `atoms` of a defect

    Returns
    -------
    pandas.DataFrame, one row per bond, by kind and length:
        first, second : rows of its atoms
        bond : their symbols, 'C–Si'
        length, length_err : Å and 1σ from the standard errors of both ends; NaN where these are unknown. In the image's
            own scale; without a pixel size in the scale in which the crystal's bond has the length its rules give
        probability : that it is one

    Raises
    ------
    AtomnbError
        If the table is not that of the graph, or has no such rows.
    """
    rows = _checked(graph, atoms, members)
    drawn = np.isin(graph.neighbors.pairs, rows).all(axis=1)
    pairs = graph.neighbors.pairs[drawn]
    yx, errors = _in_angstrom(graph, atoms)
    measured = bond_lengths(yx, pairs, errors)
    kinds = ["–".join(sorted(map(str, names))) for names in graph.symbols[pairs]]
    table = pd.DataFrame(
        {
            "first": pairs[:, 0], "second": pairs[:, 1], "bond": np.array(kinds, object), "length": measured.value,
            "length_err": measured.error, "probability": graph.neighbors.probability[drawn],
        },
        columns=list(BOND_COLUMNS),
    )  # fmt: skip
    return table.sort_values(["bond", "length"], kind="stable", ignore_index=True)


def measure_angles(graph: StructureGraph, atoms: AtomTable, members, *, at=None) -> pd.DataFrame:
    """Angles between neighbouring bonds of the same atom, among some atoms.

    Parameters
    ----------
    graph, atoms, members : as in `measure_bonds`
    at : (A,) rows, only the angles there; by default at all members

    Returns
    -------
    pandas.DataFrame, one row per angle, by corner and angle:
        first, apex, second : rows of its atoms
        corner : their symbols, 'C–Si–C'
        angle, angle_err : degrees and 1σ from the standard errors of all three atoms; NaN where these are unknown. An
            atom all of whose bonds lie among the members has angles that sum to 360°

    Raises
    ------
    AtomnbError
        If the table is not that of the graph, or has no such rows.
    """
    rows = _checked(graph, atoms, members)
    yx, errors = _in_angstrom(graph, atoms)
    indptr, indices, _ = graph.neighbors.adjacency()
    found = []
    for apex in rows if at is None else np.intersect1d(rows, at):
        ends = np.intersect1d(indices[indptr[apex] : indptr[apex + 1]], rows)
        found += [_angle(yx, errors, graph.symbols, apex, pair) for pair in _round_the_apex(yx, apex, ends)]
    table = pd.DataFrame(found, columns=list(ANGLE_COLUMNS))
    return table.sort_values(["corner", "angle"], kind="stable", ignore_index=True)


def _checked(graph: StructureGraph, atoms: AtomTable, members) -> np.ndarray:
    rows = np.unique(np.asarray(members, int))
    if len(atoms) != len(graph):
        raise AtomnbError(
            f"the graph has {len(graph)} atoms and the table {len(atoms)}: pass the table of the same frame, "
            "atoms.in_frame(t)."
        )
    if len(rows) and not 0 <= rows[0] <= rows[-1] < len(graph):
        raise AtomnbError(f"members must be rows 0 to {len(graph) - 1} of the table, got {rows[0]} to {rows[-1]}.")
    return rows


def _in_angstrom(graph: StructureGraph, atoms: AtomTable) -> tuple[np.ndarray, np.ndarray]:
    """Positions and standard errors (N, 2), Å, in the image's scale or else in that of the rules."""
    scale = atoms.pixel_size or graph.scale
    return atoms.positions_yx * scale, atoms.errors_yx * scale


def _round_the_apex(yx: np.ndarray, apex: int, ends: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of ends that follow one another round the apex, in the direction of growing angle (y downwards)."""
    if len(ends) < 2:
        return []
    offset = yx[ends] - yx[apex]
    ordered = ends[np.argsort(np.arctan2(offset[:, 0], offset[:, 1]))]
    pairs = list(zip(ordered, np.roll(ordered, -1), strict=True))
    if len(ends) > 2:
        return pairs
    # of two bonds only the smaller of the two angles between them is meant
    return [min(pairs, key=lambda pair: _turn(yx, apex, pair))]


def _turn(yx: np.ndarray, apex: int, pair) -> float:
    """Angle (rad, 0 to 2π) from the first end to the second, round the apex."""
    (y, x), (v, u) = yx[list(pair)] - yx[apex]
    return float((np.arctan2(v, u) - np.arctan2(y, x)) % (2 * np.pi))


def _angle(yx, errors, symbols, apex: int, pair) -> dict:
    """One row of the table of angles."""
    first, second = pair
    turned = [_gradient(yx[end] - yx[apex]) for end in pair]
    squares = (turned[0] * errors[first]) ** 2 + (turned[1] * errors[second]) ** 2
    squares += ((turned[0] - turned[1]) * errors[apex]) ** 2
    ends = sorted(str(symbols[end]) for end in pair)
    return {
        "first": int(first),
        "apex": int(apex),
        "second": int(second),
        "corner": f"{ends[0]}–{symbols[apex]}–{ends[1]}",
        "angle": float(np.degrees(_turn(yx, apex, pair))),
        "angle_err": float(np.degrees(np.sqrt(squares.sum()))),
    }


def _gradient(offset: np.ndarray) -> np.ndarray:
    """Derivative (rad/Å) of the direction of (y, x) by y and x."""
    y, x = offset
    return np.array([x, -y]) / (x**2 + y**2)
