"""Several networks as one, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


class MeanNet(nn.Module):
    """Networks of the same classes as one network: its logits are the logarithm of the mean probability."""

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.stride = math.lcm(*(member.stride for member in members))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        each = torch.stack([torch.log_softmax(member(images).float(), dim=1) for member in self.members])
        return torch.logsumexp(each, dim=0) - math.log(len(self.members))
