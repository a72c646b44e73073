"""AtomAI's U-Net, trained by `train_peer.py`, as a finder: its own scaling to (0, 1), threshold and centres of mass."""

from __future__ import annotations

import functools

import numpy as np
import torch
from train_peer import WEIGHTS


@functools.cache
def model():
    """The trained `Segmentor`."""
    from atomai.models import Segmentor

    segmentor = Segmentor("Unet", nb_classes=1)
    segmentor.net.load_state_dict(torch.load(WEIGHTS, weights_only=True, map_location="cpu")["net"])
    return segmentor


def find(frame) -> np.ndarray:
    """Positions (n, 2) row, col in px of `frame.image`."""
    _, coordinates = model().predict(np.asarray(frame.image, np.float32), verbose=False)
    return np.asarray(coordinates[0], float).reshape(-1, 3)[:, :2]
