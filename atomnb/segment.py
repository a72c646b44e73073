"""Class probabilities for every pixel: resampled to the network's scale, tiled, brought back to the image's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.nets.checkpoint import Model
from atomnb.nets.normalize import BLOCK, local_statistics, normalize
from atomnb.nets.shared import has_fast_bf16
from atomnb.resample import output_shape, resample

TILE = 768
"""Largest side, in px of the network's input, that goes through the network in one piece; a multiple of 16."""

MARGIN = 64
"""Overlap, in px of the network's input, that is thrown away around each tile; a multiple of 16."""

MIN_TILE = 256
"""Below this tile size an out-of-memory error is passed on."""

Progress = Callable[[float, str], None]


def predict_probability(
    image: np.ndarray, model: Model, *, zoom: float = 1.0, tile: int = TILE, progress: Progress | None = None
) -> np.ndarray:
    """Class probabilities at the network's scale.

    Parameters
    ----------
    image : (H, W) finite numbers, atoms bright
    model : from `atomnb.load_model`
    zoom : magnification that brings the image to the network's scale
    tile : px; halved as often as needed when memory runs out
    progress : called with (fraction done, message)

    Returns
    -------
    (C, round(H·zoom), round(W·zoom)) float32, summing to 1 over the classes
    """
    shape = output_shape(image.shape, zoom)
    while True:
        try:
            return _predict_tiled(image, shape, model, tile, progress)
        except (torch.OutOfMemoryError, MemoryError):
            if tile // 2 < MIN_TILE:
                raise
            tile //= 2


def predict_from_all_sides(
    image: np.ndarray, model: Model, *, zoom: float = 1.0, progress: Progress | None = None
) -> np.ndarray:
    """The mean of the class probabilities of the image in its eight orientations: turned by quarters, and mirrored.

    A network is not exactly symmetric, an atom is: what it sees only from some sides counts as doubtful. Takes eight
    times as long as `predict_probability`, whose parameters and result it shares.
    """
    total: np.ndarray | None = None
    for side in range(8):
        turned = np.ascontiguousarray(np.rot90(image[:, ::-1] if side >= 4 else image, side))
        part = None if progress is None else (lambda f, message, side=side: progress((side + f) / 8, message))
        seen = np.rot90(predict_probability(turned, model, zoom=zoom, progress=part), -side, axes=(1, 2))
        seen = seen[:, :, ::-1] if side >= 4 else seen
        total = seen / 8 if total is None else total + seen / 8
    return np.ascontiguousarray(total)


def predict_together(images: Sequence[np.ndarray], model: Model, *, zooms: Sequence[float]) -> list[np.ndarray]:
    """`predict_probability` of several images that each fit a tile, in one pass if they are of one size when zoomed."""
    if not images:
        return []
    pixels = [resample(image, output_shape(image.shape, zoom)) for image, zoom in zip(images, zooms, strict=True)]
    inputs = [_network_input(p, model) for p in pixels]
    if len({i.shape for i in inputs}) == 1:
        maps = _classified(torch.cat(inputs), model)
    else:
        maps = [_classified(i, model)[0] for i in inputs]
    return [m[:, : p.shape[0], : p.shape[1]] for m, p in zip(maps, pixels, strict=True)]


def to_image_size(probability: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map (C, h, w) at the network's scale as (C, H, W) at the image's, still summing to 1 over the classes."""
    out = np.empty((len(probability), *shape), np.float32)
    for plane, source in zip(out[1:], probability[1:], strict=True):
        plane[...] = resample(source, shape)
        np.clip(plane, 0, 1, out=plane)
    total = out[1:].sum(axis=0)
    if len(out) > 2:
        out[1:] /= np.maximum(total, 1)
        np.minimum(total, 1, out=total)
    np.subtract(1, total, out=out[0])
    return out


def _predict_tiled(image, shape, model: Model, tile: int, progress) -> np.ndarray:
    windows = list(_windows(shape, tile))
    if len(windows) == 1:
        if progress:
            progress(0.0, "finding atoms")
        pixels = resample(image, shape)
        return _run_network(pixels, None, model)
    statistics = _statistics(image, shape)
    out = np.empty((len(model.classes), *shape), np.float32)
    for done, (inner, outer) in enumerate(windows):
        if progress:
            progress(done / len(windows), "finding atoms")
        pixels = resample(image, shape, window=outer)
        part = _run_network(pixels, _cut(statistics, outer), model)
        at = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
        out[:, inner[0], inner[1]] = part[:, at[0], at[1]]
    return out


def _windows(shape, tile: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Pairs of (window to keep, window to compute); one piece when the image fits a tile."""

    def along(n: int) -> list[tuple[slice, slice]]:
        if n <= tile:
            return [(slice(0, n), slice(0, n))]
        core = tile - 2 * MARGIN
        starts = range(0, n, core)
        return [(slice(s, min(s + core, n)), slice(max(0, s - MARGIN), min(n, s + core + MARGIN))) for s in starts]

    for rows, rows_with_margin in along(shape[0]):
        for columns, columns_with_margin in along(shape[1]):
            yield (rows, columns), (rows_with_margin, columns_with_margin)


def _statistics(image, shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Local mean and spread of the whole resampled image, strip by strip so that memory stays bounded."""
    strip = 64 * BLOCK
    if shape[0] <= 2 * strip:
        return local_statistics(_as_batch(resample(image, shape)))
    reach = 8 * BLOCK  # as far as the local statistics see, and a block more
    parts = []
    for start in range(0, shape[0], strip):
        low, high = max(0, start - reach), min(shape[0], start + strip + reach)
        both = local_statistics(_as_batch(resample(image, shape, window=(slice(low, high), slice(None)))))
        first, n = (start - low) // BLOCK, -(-(min(start + strip, shape[0]) - start) // BLOCK)
        parts.append([s[:, :, first : first + n] for s in both])
    return tuple(torch.cat(maps, dim=2) for maps in zip(*parts, strict=True))


def _cut(statistics, window):
    (rows, columns) = (slice(w.start // BLOCK, -(-w.stop // BLOCK)) for w in window)
    return tuple(s[:, :, rows, columns] for s in statistics)


def _as_batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels))[None, None]


def _run_network(pixels: np.ndarray, statistics, model: Model) -> np.ndarray:
    height, width = pixels.shape
    return _classified(_network_input(pixels, model, statistics), model)[0, :, :height, :width]


@torch.inference_mode()
def _network_input(pixels: np.ndarray, model: Model, statistics=None) -> torch.Tensor:
    """Standard scores (1, 1, H, W) of an image at the network's scale, its sides brought to what the network takes."""
    stride = model.net.stride
    padding = (0, -pixels.shape[1] % stride, 0, -pixels.shape[0] % stride)
    return F.pad(normalize(_as_batch(pixels), statistics), padding, mode="replicate")


@torch.inference_mode()
def _classified(score: torch.Tensor, model: Model) -> np.ndarray:
    """Class probabilities (B, C, H, W) of standard scores (B, 1, H, W)."""
    parameter = next(model.net.parameters())
    score = score.to(parameter.device, parameter.dtype, memory_format=torch.channels_last)
    with torch.autocast(parameter.device.type, dtype=torch.bfloat16, enabled=has_fast_bf16(parameter.device)):
        logits = model.net(score)
    return torch.softmax(logits.float(), dim=1).contiguous().cpu().numpy()
