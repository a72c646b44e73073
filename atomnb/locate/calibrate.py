"""Scores that are probabilities: fit, on fresh simulated scenes, how often a peak of given strength is an atom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import minimize

from atomnb.locate.peaks import find_peaks
from atomnb.metrics import match_positions
from atomnb.nets.normalize import normalize
from atomnb.simulate.batch import Batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.patches import stream_batches

BORDER = 6
"""px; peaks so near the border of a patch are not counted, because half their evidence is missing."""


def fit_calibration(net, config: SceneConfig, *, batches: int = 24, seed: int = 10_007) -> tuple[float, float]:
    """Slope and offset for `atomnb.locate.peaks.calibrated`, from scenes that training never saw.

    Parameters
    ----------
    net : in evaluation mode
    config : the scenes; should resemble use, not training
    batches : how many batches of 16 scenes
    """
    stream = stream_batches([(0, replace(config))], batch_size=16, seed=seed, workers=0)
    return fit_calibration_on(net, [next(stream) for _ in range(batches)])


def fit_calibration_on(net, batches: Sequence[Batch]) -> tuple[float, float]:
    """The same, from labelled batches at hand."""
    pairs = [pair for batch in batches for pair in judged_peaks(net, batch)]
    mass, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
    inside = np.clip(mass, 1e-6, 1 - 1e-6)
    logit = np.log(inside / (1 - inside))

    def loss(parameters):
        z = parameters[0] * logit + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - true * z))

    return tuple(round(float(v), 3) for v in minimize(loss, [1.0, 0.0], method="Nelder-Mead").x)


@torch.inference_mode()
def judged_peaks(net, batch: Batch) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each image of the batch: summed probability of its peaks, and whether each is an atom (0 or 1)."""
    probability = 1 - torch.softmax(net(normalize(batch.images[:, None])), dim=1)[:, 0].numpy()
    labels = batch.labels.sum(dim=1).numpy()
    for found_map, label, weight in zip(probability, labels, batch.weights.numpy(), strict=True):
        truth = find_peaks(label, threshold=0.5).positions_yx
        found = find_peaks(found_map, threshold=0.02)
        index = np.round(found.positions_yx).astype(int)
        inner = ((index >= BORDER) & (index < np.array(label.shape) - BORDER)).all(axis=1)
        counted = inner & (weight[tuple(index.clip(0, np.array(label.shape) - 1).T)] > 0)
        hit = np.zeros(len(index))
        hit[match_positions(found.positions_yx, truth, tolerance=2.2).pairs[:, 0]] = 1
        yield found.score[counted], hit[counted]
