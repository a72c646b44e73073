"""Outlines round groups of atoms and colours of rings: what pictures and pages of structures share."""

from __future__ import annotations

import numpy as np

RING_COLOURS = {3: "#ffd166", 4: "#ffb703", 5: "#ff7a59", 6: "#9aa5b1", 7: "#4cc9f0", 8: "#4895ef", 9: "#b388ff"}
"""Colour by the number of atoms round a ring; larger rings take the last one."""

OUTLINE_COLOUR = "#ffe066"
"""Colour of the outline and label of a defect."""

REACH = 0.8
"""An outline keeps this many bonds away from its atoms."""

LABEL_LENGTH = 26
"""Characters of a label in a picture."""

CLOSING = 1.5
"""Nooks narrower than twice this many radii are closed."""

_STEPS = 5


def ring_colour(size: int) -> str:
    """Colour of a ring of `size` atoms."""
    return RING_COLOURS[min(max(int(size), min(RING_COLOURS)), max(RING_COLOURS))]


def outline(points_yx: np.ndarray, radius: float) -> np.ndarray:
    """A closed smooth line (K, 2) round points (N, 2), about `radius` away from the outer ones; unit as the points'.

    It follows the points where they bend, encloses them all, and grows where they lie too far apart to be one.
    """
    from skimage.measure import find_contours

    points = np.asarray(points_yx, float).reshape(-1, 2)
    while True:
        step, wide = radius / _STEPS, (1 + CLOSING) * radius
        corner = points.min(axis=0) - wide - 2 * step
        shape = np.ceil((np.ptp(points, axis=0) + 2 * wide) / step).astype(int) + 5
        outer = [line for line in find_contours(_depth(points, corner, step, shape, wide), CLOSING * radius)]
        outer = [line for line in outer if _area(line) > 0]  # holes run the other way round
        if len(outer) == 1:
            return corner + step * outer[0][:-1]
        radius *= 1.25


def _depth(points: np.ndarray, corner: np.ndarray, step: float, shape, wide: float) -> np.ndarray:
    """How deep every knot of a grid lies inside the discs of radius `wide` round the points; 0 outside."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter
    from scipy.spatial import cKDTree

    grid = corner + step * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    inside = cKDTree(points).query(grid)[0] < wide
    return gaussian_filter(step * distance_transform_edt(inside), 1.0)


def _area(line: np.ndarray) -> float:
    """Area inside a closed line, signed by the way it runs."""
    y, x = line.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def short_label(name: str, kind: str) -> str:
    """A name that fits a picture: the kind of a defect and its fingerprint where it is long."""
    if len(name) <= LABEL_LENGTH:
        return name
    _, _, fingerprint = name.partition("#")
    return f"{kind} #{fingerprint}" if fingerprint else f"{name[: LABEL_LENGTH - 1]}…"
