"""AtomTable: its columns are always there, and tables of different scales never mix silently."""

import numpy as np
import pandas as pd
import pytest

from atomnb import AtomTable, Flag
from atomnb.data.atoms import COLUMNS, concat_atoms
from atomnb.data.elements import ELEMENTS, symbol_of
from atomnb.errors import AtomnbError, CalibrationError


def test_all_columns_are_there_with_their_types():
    for table in (AtomTable.empty(), AtomTable.from_positions([[1, 2]])):
        assert table.df.dtypes.astype(str).to_dict() == dict(COLUMNS)


def test_positions_and_lengths():
    table = AtomTable.from_positions([[1, 2], [3, 4]], pixel_size=0.5)
    np.testing.assert_array_equal(table.positions_yx, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(table.in_angstrom(), [[0.5, 1.0], [1.5, 2.0]])
    assert np.isnan(table.errors_yx).all()
    with pytest.raises(CalibrationError, match="pass pixel_size"):
        AtomTable.from_positions([[1, 2]]).in_angstrom()


def test_bad_tables_are_refused():
    with pytest.raises(AtomnbError, match=r"missing: \['x'\]"):
        AtomTable(pd.DataFrame({"y": [1.0]}))
    with pytest.raises(AtomnbError, match="NaN"):
        AtomTable.from_positions([[1.0, np.nan]])


def test_further_columns_and_the_given_frame_are_kept():
    df = pd.DataFrame({"y": [1.0, 2.0], "x": [3.0, 4.0], "angle": [5.0, 6.0], "frame": [0, 1]})
    table = AtomTable(df)
    assert list(table.df["angle"]) == [5.0, 6.0]
    assert list(df.columns) == ["y", "x", "angle", "frame"]  # the input is not modified
    assert list(table.in_frame(1).df["angle"]) == [6.0]
    assert len(table.select([True, False])) == 1


def test_joining():
    a = AtomTable.from_positions([[1, 2]], pixel_size=0.1)
    b = AtomTable.from_positions([[3, 4]], pixel_size=0.1)
    assert len(concat_atoms([a, b, AtomTable.empty(pixel_size=0.1)])) == 2
    assert len(concat_atoms([])) == 0
    assert list(concat_atoms([AtomTable.empty(), AtomTable.empty()]).df.columns) == list(COLUMNS)
    with pytest.raises(CalibrationError, match="different pixel sizes"):
        concat_atoms([a, AtomTable.from_positions([[3, 4]], pixel_size=0.2)])
    with pytest.raises(CalibrationError):
        concat_atoms([a, AtomTable.from_positions([[3, 4]])])


def test_flags_in_words():
    assert Flag.describe(0) == ""
    assert Flag.describe(Flag.BORDER | Flag.OVERLAP) == "border, overlap"


def test_elements():
    assert len(ELEMENTS) == 118
    assert [symbol_of(s) for s in ("Mo", "column", "S2", "MO", "")] == ["Mo", "X", "X", "X", "X"]
