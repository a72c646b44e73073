"""Which kinds of defects there are, and how many of each."""

from __future__ import annotations

import pandas as pd

COLUMNS = ("name", "formula", "kind", "count", "confidence", "topologies", "best")


def count_types(defects: pd.DataFrame) -> pd.DataFrame:
    """The types of defects, by name, the most frequent first.

    Parameters
    ----------
    defects : as from `find_defects`

    Returns
    -------
    pandas.DataFrame, one row per name:
        name : of the type
        formula, kind : those of its most certain member
        count : members
        confidence : their median
        topologies : tuple of the different ones among them
        best : index of the most certain member, a complete one where there is any
    """
    rows = []
    for name, members in defects.groupby("name", sort=True):
        ordered = members.sort_values(["complete", "confidence"], ascending=False, kind="stable")
        best = ordered.iloc[0]
        topologies = tuple(dict.fromkeys(ordered["topology"]))
        median = float(members["confidence"].median())
        rows.append((name, best["formula"], best["kind"], len(members), median, topologies, ordered.index[0]))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["count", "confidence"], ascending=False, kind="stable", ignore_index=True)
