"""Atoms from an image at its zoom; in noisy lattices the periodicity helps to place them, but may not invent any."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import false_discovery_control, norm

from atomnb.denoise import wiener_filter
from atomnb.locate.emptiness import FittedColumns
from atomnb.locate.outshone import rescored
from atomnb.locate.peaks import REACH, Peaks, calibrated, find_peaks, mass_at, sharpness
from atomnb.locate.prominence import prominence_at
from atomnb.locate.refine import refine_positions
from atomnb.locate.zoom import SINGLE_SIGMA, Zoom
from atomnb.nets.checkpoint import VACANCY, Model
from atomnb.nets.mean_net import MeanNet
from atomnb.resample import output_shape, resample, to_input
from atomnb.scale import measure_spacing
from atomnb.segment import predict_from_all_sides, predict_probability

CERTAIN = 0.47
"""Sharpness Σp² / Σp of a map that needs no help; 0.5 is the limit of perfect certainty."""

VETO = 0.2
"""Summed probability that the unfiltered image must give to an atom the filtered one shows. On multislice images with
60 electrons per column, planted vacancies have less than 0.13 and 99.9 % of the atoms more than 0.2."""

DOUBTFUL, MANY = (0.05, 0.5), 0.1
"""Summed probability of a peak that may be an atom, and the share of such peaks from which on the filter is asked:
bright columns make a map look sharp although every faint one between them is in doubt."""

SIGNIFICANT = 2.5
"""Standard errors by which the raw image itself must show a column that the network saw in the filtered one only, at
least. Planted vacancies in multislice images had less than 1.5, empty hollows of a large square lattice up to 2.5."""

MOST_FALSE = 0.05
"""Share of false columns to be expected among those a fit lets in (Benjamini and Hochberg 1995)."""

ABOUT = 4.0
"""Distances of neighbours within which the columns round a doubtful one are fitted: those whose light it may be."""

ALONE = 0.8
"""Score at which the unfiltered image is believed alone, as it must be for atoms off the lattice."""


STANDS_OUT = 3.0
"""Robust standard deviations of the filtered support around it that a single atom must exceed."""


class Detection(NamedTuple):
    """What the model sees, all at the network's scale.

    probability : (C, h, w) of the image as it is
    peaks : the atoms
    empty : the vacant sites, of models that have a class for them
    """

    probability: np.ndarray
    peaks: Peaks
    empty: Peaks


def detect_atoms(
    image: np.ndarray,
    model: Model,
    zoom: Zoom,
    *,
    threshold: float = 0.5,
    all_sides: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Detection:
    """Probability map and atoms of `image` (H, W; atoms bright).

    Where the map of a lattice is uncertain, the Wiener-filtered image is looked at too. It shows every site of the
    lattice, the empty ones as well, so an atom is only listed when the unfiltered image has a trace of it: by the
    network, or, with a model for any crystal, by a fit. With `all_sides` the map is the mean over the eight
    orientations of the image.
    """
    predict = predict_from_all_sides if all_sides else predict_probability
    probability = predict(image, model, zoom=zoom.zoom, progress=progress)
    calibration = model.card.calibration["lattice" if zoom.is_lattice else "single"]
    seen = probability[model.atom_classes].sum(axis=0)
    peaks = find_peaks(seen, threshold=threshold, calibration=calibration)
    # A model of one material was taught which of its columns are faint: what it doubts is not there.
    any_crystal, blurred = len(model.atom_classes) == 1, sharpness(seen) < CERTAIN
    if zoom.is_lattice and len(peaks.score) and (blurred or (any_crystal and _many_in_doubt(seen))):
        filtered = wiener_filter(resample(image, output_shape(image.shape, zoom.zoom)))
        helped = predict_probability(filtered, model)[model.atom_classes].sum(axis=0)
        placed = find_peaks(helped, threshold=threshold, calibration=calibration)
        if blurred:
            supported = mass_at(seen, placed.positions_yx) > VETO
            peaks, placed = _join(_those(placed, supported), peaks), _those(placed, ~supported)
        if any_crystal:
            peaks = _both(peaks, _fitted(image, peaks, placed, seen.shape))
    peaks = rescored(peaks, probability, model, usual=calibration, threshold=threshold)
    if not zoom.is_lattice and len(peaks.score):
        seen = resample(image, output_shape(image.shape, zoom.zoom))
        prominent = prominence_at(seen, peaks.positions_yx, SINGLE_SIGMA) > STANDS_OUT
        peaks = _those(peaks, prominent)
    return Detection(probability, peaks, _empty_sites(probability, model, peaks, threshold, calibration))


def name_atoms(probability: np.ndarray, peaks: Peaks, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Most likely class (N,) of each atom, by name, and the share (N,) of the atom's probability that it holds."""
    kinds = model.atom_classes
    if len(kinds) == 1:
        return np.full(len(peaks.score), model.classes[kinds[0]], object), np.ones(len(peaks.score))
    mass = np.stack(list(class_mass(probability, peaks, model).values()))
    best = mass.argmax(axis=0) if len(peaks.score) else np.zeros(0, int)
    share = mass.max(axis=0, initial=0) / np.maximum(mass.sum(axis=0), 1e-9)
    return np.array([model.classes[k] for k in kinds], object)[best], share


def class_mass(probability: np.ndarray, peaks: Peaks, model: Model) -> dict[str, np.ndarray]:
    """Name of each class of atoms → its probability (N,) summed about each atom."""
    return {model.classes[k]: mass_at(probability[k], peaks.positions_yx) for k in model.atom_classes}


def score_spread(image: np.ndarray, model: Model, zoom: Zoom, peaks: Peaks) -> np.ndarray | None:
    """How far the members of an ensemble differ about each atom: the standard deviation (N,) of their scores.

    None for a single network. Where it has learnt what it sees, its members agree, even on a doubtful atom; it is high
    where they had to guess (Lakshminarayanan et al. 2017, arXiv:1612.01474).
    """
    if not isinstance(model.net, MeanNet):
        return None
    calibration = model.card.calibration["lattice" if zoom.is_lattice else "single"]
    scores = []
    for net in model.net.members:
        seen = predict_probability(image, Model(net, model.card), zoom=zoom.zoom)[model.atom_classes].sum(axis=0)
        scores.append(calibrated(mass_at(seen, peaks.positions_yx), calibration))
    return np.std(scores, axis=0)


def _empty_sites(probability, model: Model, peaks: Peaks, threshold: float, calibration) -> Peaks:
    if VACANCY not in model.classes:
        return Peaks(np.zeros((0, 2)), np.zeros(0))
    empty = find_peaks(probability[model.classes.index(VACANCY)], threshold=threshold, calibration=calibration)
    if not len(peaks.score):
        return empty
    free = _distance_to(peaks.positions_yx, empty.positions_yx) > REACH
    return _those(empty, free)


def _many_in_doubt(probability: np.ndarray) -> bool:
    """Whether many peaks of the map of a lattice are too weak to be atoms, however sharp the others are."""
    mass = find_peaks(probability, threshold=DOUBTFUL[0]).score
    return np.count_nonzero(mass < DOUBTFUL[1]) > MANY * len(mass)


def _join(placed: Peaks, seen: Peaks) -> Peaks:
    """Peaks of the filtered image that the unfiltered one supports, and those it shows for certain elsewhere."""
    spacing = measure_spacing(placed.positions_yx)
    if spacing is None:
        return seen
    alone = (seen.score > ALONE) & (_distance_to(placed.positions_yx, seen.positions_yx) > 0.5 * spacing)
    return _both(placed, _those(seen, alone))


def _fitted(image: np.ndarray, sure: Peaks, doubtful: Peaks, shape) -> Peaks:
    """Those of the doubtful peaks, in a map of `shape`, that a fit to the image shows among the sure ones."""
    spacing = measure_spacing(sure.positions_yx)
    if spacing is None:
        return _those(doubtful, np.zeros(len(doubtful.score), bool))
    doubtful = _those(doubtful, _distance_to(sure.positions_yx, doubtful.positions_yx) > 0.5 * spacing)
    if not len(doubtful.score):
        return doubtful
    about = _distance_to(doubtful.positions_yx, sure.positions_yx) < ABOUT * spacing
    fit = refine_positions(image, to_input(sure.positions_yx[about], image.shape, shape), dark=False)
    columns = FittedColumns(image, fit.positions_yx, fit.intensity, fit.sigma)
    places = to_input(doubtful.positions_yx, image.shape, shape)
    return _those(doubtful, _significant(np.array([columns.significance(place) for place in places])))


def _significant(deviations: np.ndarray) -> np.ndarray:
    """Which of many places (K,) hold a column, by its intensity in standard errors: with few false ones among them.

    Of thousands of empty places some deviate by three or four standard errors by chance.
    """
    chance = norm.sf(np.nan_to_num(deviations, nan=-np.inf))
    return (deviations > SIGNIFICANT) & (false_discovery_control(chance) < MOST_FALSE)


def _those(peaks: Peaks, chosen: np.ndarray) -> Peaks:
    return Peaks(peaks.positions_yx[chosen], peaks.score[chosen])


def _both(first: Peaks, second: Peaks) -> Peaks:
    return Peaks(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))


def _distance_to(points: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return cKDTree(points).query(positions)[0]
