"""AtomTable: the positions of atoms as a DataFrame, with their calibration and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from atomnb.data.flags import Flag
from atomnb.errors import AtomnbError, CalibrationError

__all__ = ["COLUMNS", "AtomTable", "Flag", "concat_atoms"]

COLUMNS: Mapping[str, str] = {
    "y": "float64",
    "x": "float64",
    "frame": "int64",
    "particle": "int64",
    "species": "object",
    "sublattice": "int64",
    "intensity": "float64",
    "sigma": "float64",
    "y_err": "float64",
    "x_err": "float64",
    "score": "float64",
    "flags": "int64",
}
"""Columns of an atom table and their types: y, x, sigma and errors in px, intensity in image units."""


_KINDS = [np.dtype(kind) for kind in COLUMNS.values()]


@dataclass(frozen=True, eq=False)
class AtomTable:
    """Atoms found in an image or stack.

    Parameters
    ----------
    df : pandas.DataFrame
        One row per atom. Columns as in `COLUMNS`; missing ones are added with neutral values, further ones are
        kept. Positions are in px, origin at the centre of the top-left pixel. trackpy works on `df` unchanged.
    pixel_size : float or None
        Å per pixel.
    shape : (int, int) or None
        (H, W) of the image, px.
    provenance : mapping
        What made the table (model, versions, hashes, parameters).
    """

    df: pd.DataFrame
    pixel_size: float | None = None
    shape: tuple[int, int] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", _with_all_columns(self.df))

    @classmethod
    def from_positions(cls, positions_yx, *, pixel_size: float | None = None, shape=None) -> AtomTable:
        """A table from positions (N, 2) in px alone."""
        yx = np.asarray(positions_yx, float)
        if yx.size and yx.shape[-1] != 2:
            raise AtomnbError(f"positions_yx must be pairs (y, x), shape (N, 2), got shape {yx.shape}.")
        yx = yx.reshape(-1, 2)
        if not np.isfinite(yx).all():
            raise AtomnbError("positions_yx holds NaN or infinite values: drop those rows first.")
        return cls(pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1]}), pixel_size=pixel_size, shape=shape)

    @classmethod
    def empty(cls, *, pixel_size: float | None = None, shape=None) -> AtomTable:
        """A table without rows but with all columns."""
        return cls(pd.DataFrame(), pixel_size=pixel_size, shape=shape)

    def __len__(self) -> int:
        return len(self.df)

    @property
    def positions_yx(self) -> np.ndarray:
        """Positions, shape (N, 2), px."""
        return self.df[["y", "x"]].to_numpy()

    @property
    def errors_yx(self) -> np.ndarray:
        """Standard errors, shape (N, 2), px, 1σ per axis."""
        return self.df[["y_err", "x_err"]].to_numpy()

    def in_angstrom(self) -> np.ndarray:
        """Positions in Å, shape (N, 2).

        Raises
        ------
        CalibrationError
            When the table is uncalibrated.
        """
        if self.pixel_size is None:
            raise CalibrationError("the atoms have no pixel size: pass pixel_size (Å) to analyze or read_image.")
        return self.positions_yx * self.pixel_size

    def select(self, mask) -> AtomTable:
        """The atoms where `mask` (N,) is true."""
        return replace(self, df=self.df[np.asarray(mask, bool)].reset_index(drop=True))

    def in_frame(self, frame: int) -> AtomTable:
        """The atoms of one frame."""
        return self.select(self.df["frame"].to_numpy() == frame)

    def save(self, path) -> Path:
        """Write to .csv, .parquet or .xyz; see `atomnb.io.tables.write_atoms`."""
        from atomnb.io.tables import write_atoms

        return write_atoms(self, path)

    def __repr__(self) -> str:
        scale = "uncalibrated" if self.pixel_size is None else f"{self.pixel_size:.4g} Å/px"
        return f"AtomTable({len(self)} atoms, {scale})\n{self.df!r}"

    def _repr_html_(self) -> str:
        return self.df._repr_html_()


def concat_atoms(tables: Iterable[AtomTable]) -> AtomTable:
    """Join tables of one calibration.

    Raises
    ------
    CalibrationError
        If the tables differ in pixel size.
    """
    tables = list(tables)
    if not tables:
        return AtomTable.empty()
    sizes = {t.pixel_size for t in tables}
    if len(sizes) > 1:
        raise CalibrationError(
            f"the tables have different pixel sizes (Å): {sorted(map(str, sizes))}; convert them first."
        )
    if len(tables) == 1:
        return tables[0]
    filled = [t.df for t in tables if len(t)] or [tables[0].df]
    return replace(tables[0], df=pd.concat(filled, ignore_index=True))


def _with_all_columns(df: pd.DataFrame) -> pd.DataFrame:
    missing = {"y", "x"} - set(df.columns)
    if len(df) and missing:
        raise AtomnbError(f"an atom table needs columns y and x in px; missing: {sorted(missing)}.")
    if list(df.columns[: len(COLUMNS)]) == list(COLUMNS) and list(df.dtypes)[: len(COLUMNS)] == _KINDS:
        return df.copy()
    neutral = {"frame": 0, "particle": -1, "species": "column", "sublattice": -1, "score": 1.0, "flags": 0}
    ordered = {
        name: df[name].astype(kind) if name in df.columns else pd.Series(neutral.get(name, np.nan), df.index, kind)
        for name, kind in COLUMNS.items()
    }
    extra = {name: df[name] for name in df.columns if name not in COLUMNS}
    return pd.DataFrame({**ordered, **extra})
