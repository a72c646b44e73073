"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F

NAMING = 4.0
"""Extra weight of the question which atom it is, beside whether one is there: so few pixels decide it."""


def soft_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of class probabilities with soft labels, averaged over the weighted pixels.

    A proper score: at its minimum the probability in a pixel is the expected label, so that the probability summed
    over a blob counts atoms and stays calibrated where noise leaves their place or presence in doubt. With several
    kinds of atoms it splits into presence and, given presence, kind; the second part counts `NAMING` times more, which
    leaves both at their expected labels.

    Parameters
    ----------
    logits : (B, C, H, W)
    labels : (B, C, H, W), summing to 1 over the classes
    weights : (B, H, W); 0 where the truth cannot be told
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    loss = -(labels * log_p).sum(dim=1)
    if labels.shape[1] > 2:
        given_atom = log_p[:, 1:] - log_p[:, 1:].logsumexp(dim=1, keepdim=True)
        loss = loss - NAMING * (labels[:, 1:] * given_atom).sum(dim=1)
    return (loss * weights).sum() / weights.sum().clamp(min=1)


def focal_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, *, gamma: float = 2.0
) -> torch.Tensor:
    """Cross-entropy in which each pixel counts less, the surer the network is of it, by (1 - p)^γ.

    For defects, which are rare: pixels of the perfect crystal soon weigh nothing. Lin et al. (2017), arXiv:1708.02002;
    not a proper score, so the probabilities are no longer calibrated. Arguments as for `soft_cross_entropy`.
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    loss = -(labels * (1 - log_p.exp()) ** gamma * log_p).sum(dim=1)
    return (loss * weights).sum() / weights.sum().clamp(min=1)


def class_labels(heatmaps: torch.Tensor) -> torch.Tensor:
    """Soft labels (B, K + 1, H, W) that sum to 1, background first, from heat maps (B, K, H, W) of the classes."""
    total = heatmaps.sum(dim=1, keepdim=True)
    return torch.cat([(1 - total).clamp(min=0), heatmaps / total.clamp(min=1)], dim=1)
