"""The magnification at which a model sees an image best, found by trying a few on a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from atomnb.locate.messages import NO_LATTICE, NO_SCALE
from atomnb.locate.peaks import find_peaks, sharpness
from atomnb.locate.prominence import single_atom_width
from atomnb.nets.checkpoint import Model
from atomnb.scale import PLAUSIBLE_SPACING, dominant_period, measure_spacing, neighbour_distances
from atomnb.segment import predict_together

TRIAL_SIDE = 128
"""Side, in px of the network's input, of the part of the image that is tried."""

MAX_ZOOM = 2.0
"""Columns less than about 3 px apart are not resolved, so no image needs more magnification."""

MIN_SPACING = 5.2
"""px of the network's input; nearer neighbours are at the edge of what it learnt."""

SPACING_PER_PERIOD = (0.45, 0.67, 0.95)
"""Nearest-neighbour distance over the strongest plane distance: dumbbells, honeycombs, simple lattices."""

SPACINGS_ANGSTROM = (1.45, 2.0, 2.8)
"""Å; tried when there is a pixel size but no Bragg peak."""

SURFACE_SPACINGS_ANGSTROM = (2.8, 4.0, 6.0, 8.0, 11.0)
"""Å; the same for surfaces, where reconstructions and molecules are farther apart than atoms."""

SPACINGS_PX = (7.0, 11.0, 17.0, 27.0, 42.0)
"""px; tried when there is neither."""


SINGLE_SIGMA = 2.1
"""Width (σ), px of the network's input, to which single atoms without a lattice are brought."""

CLEAR_CONTRAST = 60.0
"""Contrast of a Bragg peak that leaves no doubt of a lattice somewhere in the image."""


class Zoom(NamedTuple):
    """The zoom to use, whether the atoms form a lattice, and what the user should know."""

    zoom: float
    is_lattice: bool
    messages: list[str]


class Trial(NamedTuple):
    """What the model saw at one zoom.

    sharpness : Σp² / Σp of the probability map, near 0.5 where every atom is certain
    density : atoms per px² of the image
    spacing_px : nearest-neighbour distance, px of the image; NaN with fewer than 8 atoms
    spread : relative spread of that distance
    """

    zoom: float
    sharpness: float
    density: float
    spacing_px: float
    spread: float


def find_zoom(
    image: np.ndarray,
    model: Model,
    *,
    pixel_size: float | None = None,
    surface: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Zoom:
    """The best zoom for `image` (H, W; atoms bright) and what the user should know.

    A finer zoom wins when it finds more atoms without losing much certainty; among equals the most certain wins,
    which is where the network sees most of the lattice at once. `surface` (STM) tries the distances of reconstructions
    and molecules.
    """
    if progress:
        progress(0.0, "looking for the lattice")
    working = model.card.working
    period = dominant_period(image)
    messages = _scale_messages(period, pixel_size)
    trusted = None if period is not None and len(messages) and pixel_size is not None else pixel_size
    for step, centre in enumerate(_places(image, period)):
        tell = _telling(progress, 0.1 + 0.45 * step, 0.1 + 0.45 * (step + 1))
        zooms = _candidates(period, trusted, working, SURFACE_SPACINGS_ANGSTROM if surface else SPACINGS_ANGSTROM)
        best = _best_trial(image, model, zooms, centre, period, calibrated=trusted is not None, tell=tell)
        if best is not None:
            return Zoom(best.zoom, True, messages)
    return Zoom(min(MAX_ZOOM, SINGLE_SIGMA / single_atom_width(image)), False, [*messages, NO_LATTICE])


def _telling(progress, low: float, high: float) -> Callable[[float], None]:
    """Tells the share of the magnifications tried; it is also where the user may stop."""

    def tell(fraction: float) -> None:
        if progress:
            progress(low + (high - low) * fraction, "trying magnifications")

    return tell


def _places(image: np.ndarray, period: float | None) -> Iterator[tuple[int, int]]:
    """Where to try: the middle, and if that shows no lattice although the spectrum does, where it is strongest."""
    yield tuple(n // 2 for n in image.shape)
    if dominant_period(image, least_contrast=CLEAR_CONTRAST) is not None:
        ripple = ndimage.gaussian_filter(image, 0.2 * period) - ndimage.gaussian_filter(image, 0.8 * period)
        strength = ndimage.gaussian_filter(np.abs(ripple), 5 * period, mode="constant")
        yield tuple(int(i) for i in np.unravel_index(np.argmax(strength), strength.shape))


def _best_trial(
    image, model: Model, zooms: list[float], centre, period, *, calibrated: bool, tell: Callable[[float], None]
) -> Trial | None:
    """The best of the zooms, and of those that suit its atoms better; None without a lattice."""
    tell(0.0)
    trials = _try(image, model, zooms, centre)
    best = _choose([t for t in trials if _sensible(t, period)])
    if best is None or not _is_lattice(best, calibrated=calibrated):
        return None
    tell(0.6)
    targets = [z for z in _targets(best, model.card.working) if all(abs(np.log(z / tried)) > 0.1 for tried in zooms)]
    return _choose([best, *(t for t in _try(image, model, targets, centre) if _sensible(t, period))])


def _scale_messages(period: float | None, pixel_size: float | None) -> list[str]:
    if pixel_size is None:
        return [NO_SCALE]
    low, high = PLAUSIBLE_SPACING
    if period is not None and not low < period * pixel_size < 1.5 * high:
        return [
            f"the pixel size ({pixel_size:.4g} Å) puts the lattice planes {period * pixel_size:.3g} Å apart, which "
            "no crystal has: the image's own scale is used. Check the unit, or calibrate by a known spacing."
        ]
    return []


def _candidates(
    period: float | None, pixel_size: float | None, working: Mapping[str, Any], angstroms: tuple[float, ...]
) -> list[float]:
    if period is not None:
        spacings = [period * r for r in SPACING_PER_PERIOD]
    elif pixel_size is not None:
        spacings = [s / pixel_size for s in angstroms]
    else:
        spacings = list(SPACINGS_PX)
    return sorted({min(MAX_ZOOM, working["spacing_px"][0] / s) for s in spacings})


def _targets(best: Trial, working: Mapping[str, Any]) -> list[float]:
    return [min(MAX_ZOOM, s / best.spacing_px) for s in working["spacing_px"]]


def _try(image: np.ndarray, model: Model, zooms: list[float], centre: tuple[int, int]) -> list[Trial]:
    """What the model sees around `centre` at each of the zooms."""
    parts = [_part(image, zoom, centre) for zoom in zooms]
    maps = predict_together(parts, model, zooms=zooms)
    calibration = model.card.calibration["lattice"]
    return [_judged(m[1:].sum(axis=0), z, p, calibration) for m, z, p in zip(maps, zooms, parts, strict=True)]


def _part(image: np.ndarray, zoom: float, centre: tuple[int, int]) -> np.ndarray:
    side = [min(n, int(TRIAL_SIDE / zoom)) for n in image.shape]
    start = [min(max(0, c - s // 2), n - s) for n, s, c in zip(image.shape, side, centre, strict=True)]
    return image[start[0] : start[0] + side[0], start[1] : start[1] + side[1]]


def _judged(probability: np.ndarray, zoom: float, part: np.ndarray, calibration: tuple[float, float]) -> Trial:
    if float(part.max()) == float(part.min()):
        return Trial(zoom, 0.0, 0.0, np.nan, np.nan)
    positions = find_peaks(probability, threshold=0.5, calibration=calibration).positions_yx / zoom
    certainty = sharpness(probability)
    if len(positions) < 8:
        return Trial(zoom, certainty, len(positions) / part.size, np.nan, np.nan)
    distance = neighbour_distances(positions)
    typical = float(np.median(distance))
    spread = float(1.48 * np.median(np.abs(distance - typical)) / typical)
    return Trial(zoom, certainty, len(positions) / part.size, measure_spacing(positions), spread)


def _sensible(trial: Trial, period: float | None) -> bool:
    if not (trial.spacing_px * trial.zoom > MIN_SPACING and trial.spacing_px > 3.2):
        return False
    return period is None or 0.33 < trial.spacing_px / period < 1.5


def _choose(trials: list[Trial]) -> Trial | None:
    if not trials:
        return None
    certain = [t for t in trials if t.sharpness > 0.75 * max(t.sharpness for t in trials)]
    dense = [t for t in certain if t.density > 0.85 * max(t.density for t in certain)]
    return max(dense, key=lambda t: t.sharpness)


def _is_lattice(trial: Trial, *, calibrated: bool) -> bool:
    """Even distances between atoms the model is sure of; single atoms and the grain of a support have neither."""
    even = 0.2 if calibrated else 0.16  # a scale that fits is evidence too
    return (trial.spread < even and trial.sharpness > 0.2) or (trial.spread < 0.35 and trial.sharpness > 0.28)
