"""LabelledScene: one image with the class of every pixel and column, as labelled sets hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atomnb.errors import AtomnbError

BACKGROUND_CLASS = 0
"""Class of pixels without a column, and of columns that a model should not find."""

IGNORED_CLASS = 255
"""Class of pixels and columns that teach nothing: neither found nor missed."""


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """An image and its truth.

    Parameters
    ----------
    image : (H, W) float32
        As the detector gave it.
    class_map : (H, W) uint8
        0 = background, k = class k of the set's list (counted from 1), 255 = not to be learnt from.
    positions_yx : (N, 2) float64
        Columns, and defects without one such as vacancies; px, origin at the centre of the top-left pixel.
    species : (N,) str
        What is there ('Mo', 'S2', ...), or the name of the defect.
    column_class : (N,) uint8
        The class of each position, coded as in `class_map`.
    pixel_size : float
        Å.
    group : str
        The structure the scene shows. Scenes of one group never part between training and test.
    details : mapping
        How the image came about (dose, distortions, seed), JSON-able.

    Raises
    ------
    AtomnbError
        If shapes contradict one another, or pixels are not finite.
    """

    image: np.ndarray
    class_map: np.ndarray
    positions_yx: np.ndarray
    species: np.ndarray
    column_class: np.ndarray
    pixel_size: float
    group: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("image", np.float32), ("class_map", np.uint8), ("positions_yx", np.float64)):
            object.__setattr__(self, name, _as_kind(getattr(self, name), kind, name))
        object.__setattr__(self, "positions_yx", self.positions_yx.reshape(-1, 2))
        object.__setattr__(self, "species", np.asarray(self.species, object))
        object.__setattr__(self, "column_class", _as_kind(self.column_class, np.uint8, "column_class"))
        _check_shapes(self)
        _check_values(self)


def check_classes(scene: LabelledScene, classes: Sequence[str]) -> None:
    """Make sure that every label of `scene` is in the class list.

    Raises
    ------
    AtomnbError
        Naming the labels that are not.
    """
    found = np.union1d(np.unique(scene.class_map), np.unique(scene.column_class))
    strange = [int(k) for k in found if k > len(classes) and k != IGNORED_CLASS]
    if strange:
        raise AtomnbError(
            f"the scene of {scene.group!r} holds the labels {strange}, but the class list has only {len(classes)} "
            f"({', '.join(classes)}): labels are 0 for background, 1 to {len(classes)} for these, {IGNORED_CLASS} for "
            "'not to be learnt from'. Use the class list of the scheme that labelled it."
        )


def _as_kind(values, kind, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise AtomnbError(f"{name} must hold numbers, got dtype {array.dtype}.")
    if kind is np.uint8 and array.size and (array.min() < 0 or array.max() > 255 or (array % 1).any()):
        raise AtomnbError(f"{name} must hold whole numbers from 0 to 255, got {array.min():g} to {array.max():g}.")
    return np.ascontiguousarray(array, dtype=kind)


def _check_shapes(scene: LabelledScene) -> None:
    if scene.image.ndim != 2 or scene.class_map.shape != scene.image.shape:
        raise AtomnbError(
            f"image and class_map must have one shape (H, W), got {scene.image.shape} and {scene.class_map.shape}."
        )
    lengths = len(scene.positions_yx), len(scene.species), len(scene.column_class)
    if len(set(lengths)) > 1:
        raise AtomnbError(
            "positions_yx, species and column_class must have one entry per column, got "
            f"{lengths[0]}, {lengths[1]} and {lengths[2]}."
        )


def _check_values(scene: LabelledScene) -> None:
    if not np.isfinite(scene.image).all():
        raise AtomnbError(f"the image of {scene.group!r} holds NaN or infinite pixels: simulate it again.")
    if not np.isfinite(scene.positions_yx).all():
        raise AtomnbError(f"positions_yx of {scene.group!r} holds NaN or infinite values: drop those rows.")
    if not (np.isfinite(scene.pixel_size) and scene.pixel_size > 0):
        raise AtomnbError(f"pixel_size must be a positive number of Å, got {scene.pixel_size!r}.")
    if not isinstance(scene.group, str) or not scene.group:
        raise AtomnbError(f"group must be the name of the structure, got {scene.group!r}.")
