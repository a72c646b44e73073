"""Models for analysis are loaded once, until their files change."""

import numpy as np
import pytest
import torch

from atomnb.errors import ModelError
from atomnb.nets.checkpoint import ModelCard, load_model, save_model
from atomnb.nets.registry import create_net
from atomnb.nets.shared import shared_model
from atomnb.segment import predict_probability

WIDTHS = {"widths": (8, 8, 8, 8)}


@pytest.fixture
def saved(tmp_path):
    """Saves a network of the given seed under one name; returns its path."""
    card = ModelCard(
        name="tiny", summary="for tests", classes=("background", "column"),
        architecture={"name": "unet", "options": {"widths": [8, 8, 8, 8]}},
        working={"pixel_size": 0.2, "spacing_px": [6.3, 8.4], "spacing_range_px": [5, 20]},
    )  # fmt: skip

    def save(seed):
        torch.manual_seed(seed)
        return save_model(create_net("unet", WIDTHS), card, tmp_path)

    return save


def test_it_is_loaded_once_and_again_when_its_files_change(saved):
    path = saved(0)
    first = shared_model(path)
    assert shared_model(path) is first
    saved(1)
    second = shared_model(path)
    assert second is not first and second.card.sha256 != first.card.sha256


def test_it_sees_what_the_loaded_model_sees(saved, rng):
    path = saved(0)
    image = rng.poisson(5, (64, 80)).astype(np.float32)
    assert (
        np.abs(predict_probability(image, shared_model(path)) - predict_probability(image, load_model(path))).max()
        < 1e-6
    )


def test_a_card_that_is_gone_is_reported(saved):
    path = saved(0)
    shared_model(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="card"):
        shared_model(path)
