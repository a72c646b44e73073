"""Records of the defects of an analysed image: each with its picture, its atoms and bonds, and where it comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atomnb.errors import AtomnbError
from atomnb.graph.frames import defects_in_frame
from atomnb.graph.record import DefectRecord

MARGIN = 4.0
"""Å of the surroundings that a record's picture shows beyond the defect's own atoms."""


def records_from(analysis, *, defects: pd.DataFrame | None = None, margin: float = MARGIN) -> list[DefectRecord]:
    """Records of defects, for a library, for class averages or to be written as structures.

    Parameters
    ----------
    analysis : Analysis
        Made with rules.
    defects : DataFrame, optional
        Those wanted, rows of `analysis.defects`; further columns go into the metadata. All of them by default.
    margin : float
        Å of surroundings; pictures end where the image ends.

    Returns
    -------
    list of DefectRecord
        In the order of the rows. An image without pixel size takes the scale in which the crystal's bond has the
        length that its rules give.

    Raises
    ------
    AtomnbError
        If the analysis was made without rules.
    """
    table = analysis.defects if defects is None else defects
    if table is None or analysis.graph is None:
        raise AtomnbError('there are no defects: analyze the image with rules, for instance rules="graphene".')
    by_frame = analysis.graph if isinstance(analysis.graph, tuple) else (analysis.graph,)
    records: dict[object, DefectRecord] = {}
    for frame in np.unique(table["frame"]):
        part = defects_in_frame(table, analysis.atoms, frame)
        pixels = np.asarray(analysis.image.frame(int(frame)))
        atoms = analysis.atoms.in_frame(frame)
        for index, row in part.iterrows():
            records[index] = _record(row, by_frame[int(frame)], atoms, pixels, analysis, margin)
    return [records[index] for index in table.index]


def _record(row, graph, atoms, pixels: np.ndarray, analysis, margin: float) -> DefectRecord:
    scale = analysis.pixel_size or graph.scale
    yx = atoms.positions_yx
    members = np.union1d(row["atoms"], row["core"]).astype(int)
    reach = margin / scale
    low = np.maximum(np.floor(yx[members].min(axis=0) - reach).astype(int), 0)
    high = np.minimum(np.ceil(yx[members].max(axis=0) + reach).astype(int), np.array(pixels.shape) - 1)
    inside = np.flatnonzero(((yx >= low) & (yx <= high)).all(axis=1))
    number = np.full(len(yx), -1)
    number[inside] = np.arange(len(inside))
    pairs = number[graph.neighbors.pairs]
    return DefectRecord(
        patch=pixels[low[0] : high[0] + 1, low[1] : high[1] + 1],
        positions_yx=(yx[inside] - low) * scale,
        species=tuple(graph.species[inside]),
        pairs=pairs[(pairs >= 0).all(axis=1)],
        formula=row["formula"],
        pixel_size=scale,
        name=row["name"],
        topology=row["topology"],
        center_yx=(row["y"] * scale, row["x"] * scale),
        errors_yx=atoms.errors_yx[inside] * scale,
        counted=np.isin(inside, row["atoms"]),
        metadata=_metadata(row, graph, analysis),
    )


def _metadata(row, graph, analysis) -> dict:
    """What else the table says of the defect, and how the analysis was made."""
    known = ("formula", "name", "topology", "y", "x", "atoms", "core")
    rest = {key: _plain(value) for key, value in row.items() if key not in known}
    scale = "image" if analysis.pixel_size else "rules"
    return {**rest, "rules": graph.rules.name, "scale": scale, "provenance": dict(analysis.provenance)}


def _plain(value):
    """A cell of the table as JSON can hold it."""
    if isinstance(value, tuple):
        return list(value)
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
