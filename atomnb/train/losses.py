"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def soft_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of class probabilities with soft labels, averaged over the weighted pixels.

    A proper score: at its minimum the probability in a pixel is the expected label, so that the probability summed
    over a blob counts atoms and stays calibrated where noise leaves their place or presence in doubt.

    Parameters
    ----------
    logits : (B, C, H, W)
    labels : (B, C, H, W), summing to 1 over the classes
    weights : (B, H, W); 0 where the truth cannot be told
    """
    loss = -(labels * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return (loss * weights).sum() / weights.sum().clamp(min=1)


def class_labels(heatmaps: torch.Tensor) -> torch.Tensor:
    """Soft labels (B, K + 1, H, W) that sum to 1, background first, from heat maps (B, K, H, W) of the classes."""
    total = heatmaps.sum(dim=1, keepdim=True)
    return torch.cat([(1 - total).clamp(min=0), heatmaps / total.clamp(min=1)], dim=1)
