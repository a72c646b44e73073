"""Calibration: the error measures what it says, and the temperature undoes what made a network too sure."""

import numpy as np
import pytest
import torch
from torch import nn

from atomnb.errors import AtomnbError
from atomnb.nets.normalize import normalize
from atomnb.nets.registry import ARCHITECTURES, create_net
from atomnb.simulate.batch import Batch
from atomnb.train.temperature import apply_temperature, calibration_error, fit_temperature, reliability


def test_honest_probabilities_have_no_error(rng):
    p = rng.random(200_000)
    assert calibration_error(p, rng.random(p.size) < p) < 0.005


def test_the_error_of_a_constant_boast_is_its_excess(rng):
    p = np.full(100_000, 0.9)
    assert calibration_error(p, rng.random(p.size) < 0.6) == pytest.approx(0.3, abs=0.01)


def test_bins_tell_where_it_goes_wrong(rng):
    p = rng.random(100_000)
    found = reliability(p, rng.random(p.size) < p**2, bins=10)
    np.testing.assert_allclose(found.observed, found.promised**2, atol=0.03)
    assert found.share.sum() == pytest.approx(1)


def test_what_weighs_nothing_does_not_count():
    assert calibration_error([0.9, 0.1], [0, 0], weights=[0, 1]) == pytest.approx(0.1)


def test_logits_and_unequal_lengths_are_refused():
    with pytest.raises(AtomnbError, match="softmax"):
        calibration_error([2.0], [1])
    with pytest.raises(AtomnbError, match="equally many"):
        calibration_error([0.5], [1, 0])


class Boaster(nn.Module):
    """Knows the true log-odds of each pixel, hidden in the image, and exaggerates them."""

    def __init__(self, factor):
        super().__init__()
        self.head = nn.Conv2d(1, 2, 1)
        with torch.no_grad():
            self.head.weight[:, 0, 0, 0] = torch.tensor([0.0, factor])
            self.head.bias.zero_()

    def forward(self, score):
        return self.head(score)


def told_by_score(seed):
    """Labels drawn so that the log-odds of an atom are the normalised image itself."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 64, 64, generator=generator)
    p = torch.sigmoid(normalize(images[:, None])[:, 0])
    labels = (torch.rand(p.shape, generator=generator) < p).float()
    return Batch(images, labels[:, None], torch.ones_like(images))


@pytest.mark.parametrize("factor", [3.0, 0.5])
def test_the_temperature_undoes_exaggeration(factor):
    net = Boaster(factor)
    batches = [told_by_score(seed) for seed in range(4)]
    temperature = fit_temperature(net, batches)
    assert temperature == pytest.approx(factor, rel=0.08)
    fresh = told_by_score(99)

    def error():
        with torch.inference_mode():
            p = torch.softmax(net(normalize(fresh.images[:, None])), dim=1)[:, 1]
        return calibration_error(p.numpy(), fresh.labels[:, 0].numpy())

    before = error()
    apply_temperature(net, temperature)
    assert error() < 0.25 * before


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_it_divides_the_logits_of_every_architecture(name):
    net = create_net(name).eval()
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        before = net(image)
        apply_temperature(net, 2.5)
        torch.testing.assert_close(net(image), before / 2.5, atol=1e-5, rtol=1e-5)
    with pytest.raises(AtomnbError, match="positive"):
        apply_temperature(net, 0)
