"""Cubic, antialiased resampling of any window of an image on one global grid, so that tiles join without a seam."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=32)
def axis_weights(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Which input pixels make each output pixel of an axis, and with what weight.

    Keys' cubic (a = -1/2), widened when shrinking so that shot noise averages instead of aliasing; the same kernel as
    PyTorch's antialiased bicubic interpolation. Edges are repeated.

    Returns
    -------
    index (n_out, K) int64, weight (n_out, K) float32
    """
    step = n_in / n_out
    width = max(1.0, step)
    centre = (np.arange(n_out) + 0.5) * step - 0.5
    first = np.floor(centre - 2 * width).astype(int) + 1
    taps = int(np.ceil(4 * width))
    index = first[:, None] + np.arange(taps)
    distance = np.abs(index - centre[:, None]) / width
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, n_in - 1), weight.astype(np.float32)


def output_shape(shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    """Size of an image of `shape` after magnification by `zoom`, at least 1 px."""
    return tuple(max(1, round(n * zoom)) for n in shape)


def resample(image: np.ndarray, shape: tuple[int, int], *, window: tuple[slice, slice] | None = None) -> np.ndarray:
    """`image` (H, W) brought to `shape` px, float32; only the `window` of the result when one is given."""
    if tuple(image.shape) == tuple(shape):
        whole = image if window is None else image[window]
        return np.ascontiguousarray(whole, dtype=np.float32)
    rows, columns = window or (slice(None), slice(None))
    out = _along_axis(image, shape[0], rows, axis=0)
    return _along_axis(out, shape[1], columns, axis=1)


def to_input(positions_yx: np.ndarray, shape_in: tuple[int, int], shape_out: tuple[int, int]) -> np.ndarray:
    """Positions (N, 2) in the resampled image, in px of the original one."""
    ratio = np.asarray(shape_in) / np.asarray(shape_out)
    return (np.asarray(positions_yx, float) + 0.5) * ratio - 0.5


def _along_axis(image: np.ndarray, n_out: int, window: slice, *, axis: int) -> np.ndarray:
    index, weight = axis_weights(image.shape[axis], n_out)
    index, weight = index[window], weight[window]
    low = int(index.min())
    part = image[low : int(index.max()) + 1] if axis == 0 else image[:, low : int(index.max()) + 1]
    from scipy.sparse import csr_matrix

    starts = np.arange(0, index.size + 1, index.shape[1])
    matrix = csr_matrix((weight.ravel(), (index - low).ravel(), starts), shape=(len(index), part.shape[axis]))
    part = np.asarray(part, dtype=np.float32)
    return matrix @ part if axis == 0 else np.ascontiguousarray((matrix @ part.T).T)
