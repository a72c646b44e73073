"""Types of defects: counted by name, the best member shown."""

import pandas as pd

from atomnb.graph.census import COLUMNS, count_types
from atomnb.graph.defects import COLUMNS as DEFECT_COLUMNS


def defects(*rows):
    names = ("name", "topology", "confidence", "complete")
    return pd.DataFrame([dict(zip(names, row, strict=True)) | {"formula": row[0], "kind": "dopant"} for row in rows])


def test_types_are_counted_by_name_and_shown_by_a_complete_member():
    table = count_types(
        defects(("a", "1", 0.9, True), ("b", "2", 0.99, False), ("b", "2", 0.7, True), ("b", "3", 0.8, True))
    )
    assert table[["name", "count", "best"]].to_numpy().tolist() == [["b", 3, 3], ["a", 1, 0]]
    assert table["topologies"][0] == ("3", "2") and table["confidence"][0] == 0.8


def test_no_defects_have_no_types():
    assert list(count_types(pd.DataFrame(columns=list(DEFECT_COLUMNS))).columns) == list(COLUMNS)
