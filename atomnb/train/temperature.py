"""Probabilities that mean what they say: their expected calibration error, and the temperature that lowers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from atomnb.errors import AtomnbError
from atomnb.nets.normalize import normalize
from atomnb.simulate.batch import Batch
from atomnb.train.losses import class_labels, soft_cross_entropy

RANGE = (0.2, 5.0)
"""Temperatures among which the best is sought."""


class Reliability(NamedTuple):
    """Bins of equal width over [0, 1]: what was promised and what came, each (bins,), NaN where a bin is empty."""

    promised: np.ndarray
    observed: np.ndarray
    share: np.ndarray


def reliability(probability, outcome, *, weights=None, bins: int = 15) -> Reliability:
    """Mean probability and mean outcome in each bin of probability.

    Parameters
    ----------
    probability : array in [0, 1]
    outcome : array of the same shape in [0, 1]: whether it was so, or the soft label
    weights : array of the same shape; by default all count the same

    Raises
    ------
    AtomnbError
        If the shapes differ, there is nothing to count, or a probability is outside [0, 1].
    """
    p, y = (np.asarray(values, float).ravel() for values in (probability, outcome))
    w = np.ones_like(p) if weights is None else np.asarray(weights, float).ravel()
    if not p.size == y.size == w.size or not w.sum() > 0:
        raise AtomnbError(
            f"expected equally many probabilities, outcomes and weights, got {p.size}, {y.size}, {w.size}."
        )
    if not ((p >= 0) & (p <= 1)).all():
        raise AtomnbError(
            f"probabilities lie between 0 and 1, got {p.min():.3g} to {p.max():.3g}: apply softmax first."
        )
    at = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(at, w, bins)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(np.bincount(at, w * p, bins) / filled, np.bincount(at, w * y, bins) / filled, count / w.sum())


def calibration_error(probability, outcome, *, weights=None, bins: int = 15) -> float:
    """Expected calibration error: |promised - observed| averaged over the bins by how much falls in each.

    Naeini et al., AAAI 2015; arguments as for `reliability`.
    """
    found = reliability(probability, outcome, weights=weights, bins=bins)
    return float(np.nansum(found.share * np.abs(found.promised - found.observed)))


@torch.inference_mode()
def fit_temperature(net: nn.Module, batches: Iterable[Batch], *, device: str = "cpu") -> float:
    """The number to divide the logits by so that held-out batches are least surprising (Guo et al. 2017,
    arXiv:1706.04599); above 1 the network was too sure.

    Parameters
    ----------
    net : in evaluation mode, on `device`
    batches : a few that training never saw, and that resemble use
    """
    seen = []
    for batch in batches:
        images, labels, weights = (part.to(device) for part in batch)
        seen.append((net(normalize(images[:, None])).float(), class_labels(labels), weights))
    if not seen:
        raise AtomnbError("fit_temperature needs at least one batch.")

    def surprise(log_temperature: float) -> float:
        scale = float(np.exp(-log_temperature))
        return sum(float(soft_cross_entropy(logits * scale, labels, weights)) for logits, labels, weights in seen)

    return float(np.exp(minimize_scalar(surprise, bounds=np.log(RANGE), method="bounded").x))


@torch.no_grad()
def apply_temperature(net: nn.Module, temperature: float) -> None:
    """Divide the logits of `net` by `temperature` for good, in place, by its last layer `head`.

    Raises
    ------
    AtomnbError
        If the temperature is not positive.
    """
    if not temperature > 0:
        raise AtomnbError(f"temperature must be positive, got {temperature!r}.")
    net.head.weight /= temperature
    net.head.bias /= temperature
