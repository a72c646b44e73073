"""An analysis on disk: table, picture, probability map and provenance, each complete or absent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from atomnb.io.atomic import atomic_path


def save_analysis(analysis, folder: Path) -> Path:
    """Write atoms.csv, probability.tif, overlay.png, result.json and, with rules, defects.csv; returns `folder`."""
    from atomnb.io.tables import write_atoms
    from atomnb.viz.overlay import save_overlay

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atoms(analysis.atoms, folder / "atoms.csv")
    if analysis.defects is not None:
        with atomic_path(folder / "defects.csv") as temporary:
            analysis.defects.to_csv(temporary, index=False)
    if len(analysis.vacancies):
        write_atoms(analysis.vacancies, folder / "vacancies.csv")
    _write_probability(analysis, folder / "probability.tif")
    several = analysis.atoms.df["species"].nunique() > 1
    save_overlay(analysis, folder / "overlay.png", colour_by="species" if several else "sublattice")
    with atomic_path(folder / "result.json") as temporary:
        text = json.dumps(_plain(_result(analysis)), indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder


def _write_probability(analysis, path: Path) -> None:
    """A TIFF of pages (T·)C × H × W in single precision, one frame in memory at a time."""
    import numpy as np
    import tifffile

    frames = analysis.probability if analysis.image.is_stack else [analysis.probability]
    axes = {"axes": "CYX", "classes": list(analysis.classes)}
    if analysis.pixel_size is not None:
        axes["pixel_size_angstrom"] = analysis.pixel_size
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=analysis.image.n_frames > 64) as tif:
        for frame in frames:
            tif.write(np.asarray(frame, np.float32), compression="zlib", photometric="minisblack", metadata=axes)


def _result(analysis) -> dict:
    scale = analysis.scale
    return {
        "name": analysis.image.name,
        "atoms": len(analysis.atoms),
        "classes": list(analysis.classes),
        "pixel_size_angstrom": analysis.pixel_size,
        "spacing_px": scale.spacing_px,
        "spacing_angstrom": scale.spacing_angstrom,
        "vacancies": len(analysis.vacancies),
        "defects": None if analysis.defects is None else len(analysis.defects),
        "messages": list(analysis.messages),
        "metadata": dict(analysis.image.metadata),
        "provenance": dict(analysis.provenance),
    }


def _plain(value):
    """`value` as JSON can hold it: NaN and infinity as null, numpy's numbers as Python's, the rest as text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
