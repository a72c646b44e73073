"""The score of a network while it learns: how little it loses on scenes that no training sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from atomnb.nets.normalize import normalize
from atomnb.simulate.batch import Batch
from atomnb.train.losses import class_labels, soft_cross_entropy


def unseen_score(make_batches: Callable[[], Sequence[Batch]]) -> Callable[[nn.Module], float]:
    """A score for `fit(..., validate=...)`, higher is better.

    Parameters
    ----------
    make_batches : makes the scenes to judge by, such as `TrainJob.unseen`; called with the first validation, because
        `fit` must have forked the processes that simulate before torch computes in this one
    """
    batches: list[Batch] = []

    def score(net: nn.Module) -> float:
        batches.extend(make_batches() if not batches else ())
        return -mean_loss(net, batches)

    return score


@torch.inference_mode()
def mean_loss(net: nn.Module, batches: Sequence[Batch]) -> float:
    """The training's loss of a network in evaluation mode, averaged over batches."""
    device = next(net.parameters()).device
    total = 0.0
    for batch in batches:
        images, labels, weights = (part.to(device) for part in batch)
        logits = net(normalize(images[:, None]).to(memory_format=torch.channels_last))
        total += float(soft_cross_entropy(logits, class_labels(labels), weights))
    return total / len(batches)
