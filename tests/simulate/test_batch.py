"""Training batches: truth where the image says so, reproducible, no bad pixel."""

import numpy as np
import torch

from atomnb.simulate.batch import random_batch
from atomnb.simulate.layout import SceneConfig


def batch(seed, n=8, **changes):
    return random_batch(np.random.default_rng(seed), n, SceneConfig(**changes))


def test_same_seed_same_batch_other_seed_another():
    first, again, other = batch(1), batch(1), batch(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.images, other.images)


def test_batches_are_finite_and_varied():
    for seed in range(12):
        drawn = batch(seed)
        assert all(torch.isfinite(part).all() for part in drawn)
        assert (drawn.images.std(dim=(1, 2)) > 0).all()
        assert drawn.labels.min() >= 0
        assert drawn.labels.max() <= 1
        assert set(drawn.weights.unique().tolist()) <= {0.0, 1.0}


def test_labels_sit_on_bright_spots_at_high_dose():
    bright = dict(counts_per_column=(20000.0, 20001.0), resample=(1.0, 1.0001), share_sparse=0.0, share_inverted=0.0)
    contrast = []
    for seed in range(6):
        drawn = batch(seed, **bright)
        for image, label in zip(drawn.images, drawn.labels[:, 0], strict=True):
            if (label > 0.9).sum() > 20:
                contrast.append(float((image[label > 0.9].mean() - image[label < 0.01].mean()) / image.std()))
    assert np.median(contrast) > 1.0
    assert min(contrast) > 0.0


def test_columns_lost_in_noise_are_neither_atoms_nor_background():
    faint = batch(3, n=12, counts_per_column=(3.0, 4.0), share_sparse=0.0)
    clear = batch(3, n=12, counts_per_column=(20000.0, 20001.0), share_sparse=0.0)
    assert (1 - faint.weights).mean() > 4 * (1 - clear.weights).mean()
    assert faint.labels.mean() < 0.3 * clear.labels.mean()
