"""Bond lengths and angles of the atoms of a defect as tables, each with its standard error."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.geometry import bond_lengths, turn_angles
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
    triples = []
    for apex in rows if at is None else np.intersect1d(rows, at):
        ends = np.intersect1d(indices[indptr[apex] : indptr[apex + 1]], rows)
        triples += _round_the_apex(yx, apex, ends)
    measured = turn_angles(yx, triples, errors)
    ends = np.sort(graph.symbols[measured.atoms[:, [0, 2]]].astype(str), axis=1)
    corners = [f"{a}–{apex}–{b}" for (a, b), apex in zip(ends, graph.symbols[measured.atoms[:, 1]], strict=True)]
    table = pd.DataFrame(
        {
            "first": measured.atoms[:, 0], "apex": measured.atoms[:, 1], "second": measured.atoms[:, 2],
            "corner": np.array(corners, object), "angle": np.degrees(measured.value),
            "angle_err": np.degrees(measured.error),
        },
        columns=list(ANGLE_COLUMNS),
    )  # fmt: skip
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


def _round_the_apex(yx: np.ndarray, apex: int, ends: np.ndarray) -> list[tuple[int, int, int]]:
    """(end, apex, end) of ends that follow one another round the apex, in the sense from x toward y."""
    if len(ends) < 2:
        return []
    offset = yx[ends] - yx[apex]
    ordered = ends[np.argsort(np.arctan2(offset[:, 0], offset[:, 1]))]
    triples = [(first, apex, second) for first, second in zip(ordered, np.roll(ordered, -1), strict=True)]
    if len(ends) > 2:
        return triples
    # of two bonds only the smaller of the two angles between them is meant
    return [triples[int(np.argmin(turn_angles(yx, triples).value))]]
