"""Level topographs: take off the tilt of the sample and the jumps between rows that a scanning tip leaves."""

from __future__ import annotations

import numpy as np

from atomnb.data.micrograph import check_pixels

ROUNDS = 20
"""At most so many rounds of reweighting; a dozen settle it on real scans."""

TUKEY = 4.685
"""Residuals beyond this many robust standard deviations have no say (95 % efficiency on a Gaussian)."""

ROUGHNESS_REACH = 8
"""px between the points whose difference in height tells the roughness of a terrace."""


def level_plane(image: np.ndarray) -> np.ndarray:
    """The image without its tilt; adsorbates, pits and other terraces do not tip the plane.

    The median slope tells the tilt roughly, whatever steps there are. A plane is then fitted to the largest terrace by
    least squares, reweighted by Tukey's biweight (Beaton and Tukey, Technometrics 16, 147, 1974).

    Parameters
    ----------
    image : (H, W)

    Returns
    -------
    (H, W) float32, median 0, in the units of the image

    Raises
    ------
    ImageError
        On NaN, infinity, or a constant image.

    Examples
    --------
    >>> import numpy as np
    >>> tilted = np.add.outer(0.3 * np.arange(20), -0.1 * np.arange(30))
    >>> bool(np.abs(level_plane(tilted)).max() < 1e-5)
    True
    """
    pixels = check_pixels(np.asarray(image, np.float64))
    y, x = (np.linspace(-1, 1, n) for n in pixels.shape)
    terms = np.stack(np.broadcast_arrays(np.ones(pixels.shape), y[:, None], x[None, :])).reshape(3, -1)
    heights = pixels.ravel() - np.median(pixels)
    slopes = [np.median(np.diff(pixels, axis=axis)) * (pixels.shape[axis] - 1) / 2 for axis in (0, 1)]
    plane = np.array([0.0, *slopes])
    plane[0] = _commonest(heights - plane @ terms)
    for _ in range(ROUNDS):
        residual = heights - plane @ terms
        spread = _roughness(residual.reshape(pixels.shape))
        if spread <= 1e-9 * np.abs(heights).max():
            break
        weighted = terms * np.clip(1 - (residual / (TUKEY * spread)) ** 2, 0, None) ** 2
        before, plane = plane, np.linalg.solve(weighted @ terms.T, weighted @ heights)
        if np.abs(plane - before).max() < 1e-4 * spread:
            break
    level = (heights - plane @ terms).reshape(pixels.shape)
    return (level - np.median(level)).astype(np.float32)


def _commonest(values: np.ndarray) -> float:
    """The height of the largest terrace: the middle of the narrowest range that holds a third of the values."""
    ordered = np.sort(values)
    share = max(1, len(ordered) // 3)
    widths = ordered[share:] - ordered[:-share]
    first = int(np.argmin(widths))
    return float(np.median(ordered[first : first + share + 1]))


def _roughness(residual: np.ndarray) -> float:
    """Robust standard deviation of the height between points a few px apart, to which a step edge adds nothing."""
    apart = [min(ROUGHNESS_REACH, n - 1) for n in residual.shape]
    along = np.abs(residual[apart[0] :] - residual[: -apart[0]]).ravel()
    across = np.abs(residual[:, apart[1] :] - residual[:, : -apart[1]]).ravel()
    return float(1.4826 / 2**0.5 * np.median(np.concatenate([along, across])))


def level_rows(image: np.ndarray) -> np.ndarray:
    """The image without the jumps between its rows, its tilt included.

    Each row is moved by the median difference to the row above, which adsorbates and step edges that do not run along
    the rows leave alone; then the plane is taken off. What varies from row to row only is lost: a step edge along
    the rows, and part of the contrast of atomic rows that lie exactly along them.

    Parameters
    ----------
    image : (H, W), rows along the fast axis of the scan

    Returns
    -------
    (H, W) float32, median 0, in the units of the image

    Raises
    ------
    ImageError
        On NaN, infinity, or a constant image.

    Examples
    --------
    >>> import numpy as np
    >>> surface = np.sin(np.add.outer(np.arange(40), 2.0 * np.arange(60)))
    >>> jumps = np.random.default_rng(0).normal(0, 5, (40, 1))
    >>> bool(np.abs(level_rows(surface + jumps) - level_rows(surface)).max() < 1e-4)
    True
    """
    pixels = check_pixels(np.asarray(image, np.float64))
    jumps = np.median(np.diff(pixels, axis=0), axis=1)
    return level_plane(pixels - np.concatenate([[0.0], np.cumsum(jumps)])[:, None])
