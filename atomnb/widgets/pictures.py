"""Pictures: a few small images side by side, each with a caption, marks and a legend."""

from __future__ import annotations

from pathlib import Path

import anywidget
import numpy as np
import traitlets

from atomnb.viz.overlay import GROUP_COLOURS

ASSETS = Path(__file__).parent / "assets"


class Pictures(anywidget.AnyWidget):
    """Shows pictures made by `picture`.

    Parameters
    ----------
    per_row : int
        How many stand side by side.
    """

    _esm = ASSETS / "pictures.js"
    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)
    per_row = traitlets.Int(1).tag(sync=True)

    def __init__(self, *, per_row: int = 1) -> None:
        super().__init__(per_row=per_row)


def picture(
    title: str,
    pixels: np.ndarray,
    *,
    note: str = "",
    smooth: bool = False,
    per_pixel: float | None = None,
    unit: str = "Å",
    marks: np.ndarray | None = None,
    legend: list[tuple[str, str]] | None = None,
    filled: bool = False,
) -> dict:
    """One picture.

    Parameters
    ----------
    title : str
    pixels : (H, W) or (H, W, 3) uint8
    note : str
        A line below it.
    smooth : bool
        Blend neighbouring pixels when enlarged.
    per_pixel : float, optional
        Length of a pixel in `unit`, for a scale bar.
    unit : {'Å', '1/Å'}
    marks : (N, 3), optional
        Rings at y, x (px) in colour number k of GROUP_COLOURS.
    legend : list of (name, colour), optional
    filled : bool
        The legend's colours fill areas rather than being those of rings.
    """
    rgb = np.asarray(pixels, np.uint8)
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=2)
    rings = np.zeros((0, 3)) if marks is None else np.asarray(marks)
    return {
        "title": title,
        "note": note,
        "height": rgb.shape[0],
        "width": rgb.shape[1],
        "pixels": np.ascontiguousarray(rgb).tobytes(),
        "smooth": smooth,
        "per_pixel": per_pixel,
        "unit": unit,
        "marks": np.ascontiguousarray(rings, np.float32).tobytes(),
        "colours": list(GROUP_COLOURS),
        "legend": [{"name": name, "colour": colour} for name, colour in legend or []],
        "filled": filled,
    }


def grey(image: np.ndarray, *, tails: tuple[float, float] = (0.3, 99.7)) -> np.ndarray:
    """An image (H, W) as grey values (H, W) uint8, its darkest and brightest tails cut."""
    low, high = np.percentile(image, tails)
    scaled = (np.asarray(image, float) - low) / ((high - low) or 1.0)
    return (255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def painted(codes: np.ndarray) -> np.ndarray:
    """A class map (H, W) as colours (H, W, 3) uint8: class k in colour k - 1, background black, ignored grey."""
    palette = np.full((256, 3), 90, np.uint8)
    palette[0] = 17, 22, 28
    for k in range(1, 255):
        palette[k] = _rgb(colour_of_class(k))
    return palette[np.asarray(codes, np.uint8)]


def mixed(probability: np.ndarray) -> np.ndarray:
    """Class probabilities (K + 1, H, W), background first, as colours (H, W, 3) uint8."""
    colours = np.array([(17, 22, 28), *(_rgb(colour_of_class(k)) for k in range(1, len(probability)))], float)
    return np.clip(np.einsum("khw,kc->hwc", probability, colours), 0, 255).astype(np.uint8)


def colour_of_class(k: int) -> str:
    """The colour of class k, counted from 1, as '#rrggbb'."""
    return GROUP_COLOURS[(k - 1) % len(GROUP_COLOURS)]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
