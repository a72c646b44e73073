"""One frame's share of a table of defects, its atoms numbered as in the table of that frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atomnb.data.atoms import AtomTable


def defects_in_frame(defects: pd.DataFrame, atoms: AtomTable, frame: int) -> pd.DataFrame:
    """The defects of one frame.

    Parameters
    ----------
    defects : as from `find_defects` for all frames
    atoms : AtomTable of all frames
    frame : which one

    Returns
    -------
    pandas.DataFrame
        The rows of that frame, with the index they had; `atoms` and `core` are rows of `atoms.in_frame(frame)`.
    """
    part = defects[defects["frame"] == frame]
    number = np.full(len(atoms), -1)
    here = np.flatnonzero(atoms.df["frame"].to_numpy() == frame)
    number[here] = np.arange(len(here))

    def renumbered(column: str) -> list[tuple[int, ...]]:
        return [tuple(number[list(rows)].tolist()) for rows in part[column]]

    return part.assign(**{name: pd.Series(renumbered(name), part.index, object) for name in ("atoms", "core")})
