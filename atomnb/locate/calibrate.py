"""Scores that are probabilities: fit, on fresh simulated scenes, how often a peak of given strength is an atom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import minimize

from atomnb.locate.outshone import is_outshone
from atomnb.locate.peaks import Peaks, find_peaks, mass_at
from atomnb.metrics import match_positions
from atomnb.nets.normalize import normalize
from atomnb.simulate.batch import Batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.patches import stream_batches

BORDER = 6
"""px; peaks so near the border of a patch are not counted, because half their evidence is missing."""


def fit_calibration(
    net, config: SceneConfig, *, batches: int = 24, seed: int = 10_007, beside: int | None = None
) -> tuple[float, float]:
    """Slope and offset for `atomnb.locate.peaks.calibrated`, from scenes that training never saw.

    Parameters
    ----------
    net : in evaluation mode
    config : the scenes; should resemble use, not training
    batches : how many batches of 16 scenes
    beside : index of a bright class, to fit the peaks beside its atoms alone (`atomnb.locate.outshone`)
    """
    stream = stream_batches([(0, replace(config))], batch_size=16, seed=seed, workers=0)
    return fit_calibration_on(net, [next(stream) for _ in range(batches)], beside=beside)


def fit_calibration_on(net, batches: Sequence[Batch], *, beside: int | None = None) -> tuple[float, float]:
    """The same, from labelled batches at hand."""
    pairs = [pair for batch in batches for pair in judged_peaks(net, batch, beside=beside)]
    mass, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    inside = np.clip(mass, 1e-6, 1 - 1e-6)
    logit = np.log(inside / (1 - inside))

    def loss(parameters):
        z = parameters[0] * logit + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - true * z))

    return tuple(round(float(v), 3) for v in minimize(loss, [1.0, 0.0], method="Nelder-Mead").x)


@torch.inference_mode()
def judged_peaks(net, batch: Batch, *, beside: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each image of the batch: summed probability of its peaks, and whether each is an atom (0 or 1).

    With `beside` only of the peaks beside atoms of that class.
    """
    maps = torch.softmax(net(normalize(batch.images[:, None])), dim=1).numpy()
    labels = batch.labels.sum(dim=1).numpy()
    for of_class, label, weight in zip(maps, labels, batch.weights.numpy(), strict=True):
        truth = find_peaks(label, threshold=0.5).positions_yx
        found = find_peaks(1 - of_class[0], threshold=0.02)
        index = np.round(found.positions_yx).astype(int)
        inner = ((index >= BORDER) & (index < np.array(label.shape) - BORDER)).all(axis=1)
        counted = inner & (weight[tuple(index.clip(0, np.array(label.shape) - 1).T)] > 0)
        if beside is not None:
            counted &= is_outshone(found.positions_yx, _is_of(beside, of_class, found))
        hit = np.zeros(len(index))
        hit[match_positions(found.positions_yx, truth, tolerance=2.2).pairs[:, 0]] = 1
        yield found.score[counted], hit[counted]


def _is_of(kind: int, probability: np.ndarray, peaks: Peaks) -> np.ndarray:
    """Mask (N,) of the certain peaks to which a class gives more than any other does."""
    mass = np.stack([mass_at(of_class, peaks.positions_yx) for of_class in probability[1:]])
    return (mass.argmax(axis=0) == kind - 1) & (peaks.score > 0.5)
