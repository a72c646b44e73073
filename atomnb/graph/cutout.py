"""The defects of an analysis as records: each with its part of the image, the atoms there and their bonds."""

from __future__ import annotations

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.graph.record import DefectRecord

SCALES = ("rules", "image")
"""Which lengths records carry."""

_TOLD = ("kind", "confidence", "rings", "missing", "bonds", "distorted", "orientation", "extent", "complete", "frame")


def records_from(
    analysis, *, margin_angstrom: float = 5.0, least_confidence: float = 0.0, scale: str = "rules"
) -> list[DefectRecord]:
    """One record for each defect of an analysis, ready for a library or a class average.

    Parameters
    ----------
    analysis : Analysis
        Of `atomnb.analyze(..., rules=...)`.
    margin_angstrom : float
        How much of the image around the defect's farthest atom belongs to the record, Å.
    least_confidence : float
        Defects below this confidence are left out.
    scale : {'rules', 'image'}
        'rules': Å in which the crystal's bond has the length that its rules give; images whose stated pixel sizes
        differ can then be compared. 'image': the stated pixel size.

    Returns
    -------
    list of DefectRecord
        In the order of `analysis.defects`. Atoms within the picture are kept, `counted` marks those of the formula;
        `metadata` tells the source, the frame, what the defect table says beside the names, the stated pixel size and
        the provenance of the analysis.

    Raises
    ------
    AtomnbError
        If the analysis was made without rules, or has no pixel size and 'image' is asked for.

    Examples
    --------
    >>> import atomnb
    >>> found = atomnb.analyze("frame.dm3", model="graphene-si", rules="graphene")  # doctest: +SKIP
    >>> DefectLibrary("defects.h5").add(records_from(found))  # doctest: +SKIP
    """
    if analysis.graph is None:
        raise AtomnbError("the analysis has no defects: name the chemistry, analyze(image, rules='graphene').")
    if scale not in SCALES:
        raise AtomnbError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    if scale == "image" and analysis.pixel_size is None:
        raise AtomnbError("the image has no pixel size: pass pixel_size (Å) to analyze, or scale='rules'.")
    chosen = analysis.defects[analysis.defects["confidence"] >= least_confidence]
    return [_record(row, analysis, margin_angstrom, scale) for _, row in chosen.iterrows()]


def _record(row, analysis, margin: float, scale: str) -> DefectRecord:
    frame = int(row["frame"])
    graph = analysis.graph[frame] if isinstance(analysis.graph, tuple) else analysis.graph
    unit = graph.scale if scale == "rules" else analysis.pixel_size
    pixels = analysis.image.frame(frame)
    table = analysis.atoms.df
    own = np.flatnonzero(table["frame"].to_numpy() == frame)
    centre = np.array([row["y"], row["x"]])
    low, high = _window(centre, (row["extent"] + margin) / graph.scale, pixels.shape)
    yx = table[["y", "x"]].to_numpy()[own]
    inside = np.flatnonzero(((yx >= low - 0.5) & (yx < high - 0.5)).all(axis=1))
    number = np.full(len(own), -1)
    number[inside] = np.arange(len(inside))
    pairs = number[graph.neighbors.pairs]
    counted = row["atoms"] if len(row["atoms"]) else row["core"]
    return DefectRecord(
        patch=pixels[low[0] : high[0], low[1] : high[1]],
        positions_yx=(yx[inside] - low) * unit,
        species=tuple(table["species"].to_numpy()[own[inside]]),
        pairs=pairs[(pairs >= 0).all(axis=1)],
        formula=row["formula"],
        name=row["name"],
        topology=row["topology"],
        center_yx=tuple(centre * unit),
        pixel_size=unit,
        errors_yx=table[["y_err", "x_err"]].to_numpy()[own[inside]] * unit,
        counted=np.isin(own[inside], counted),
        metadata=_metadata(row, analysis, low),
    )


def _window(centre: np.ndarray, half: float, shape) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last pixel (y, x) of the square about a centre, cut at the border of the image."""
    low = np.clip(np.floor(centre - half).astype(int), 0, np.array(shape) - 1)
    high = np.clip(np.ceil(centre + half).astype(int) + 1, low + 1, shape)
    return low, high


def _metadata(row, analysis, low) -> dict:
    told = {key: row[key] for key in _TOLD}
    return {
        "source": analysis.image.name,
        "corner_px": low.tolist(),
        "stated_pixel_size": analysis.pixel_size,
        "analysis": dict(analysis.provenance),
        **{key: value.item() if hasattr(value, "item") else value for key, value in told.items()},
    }
