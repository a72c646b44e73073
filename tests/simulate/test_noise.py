"""Noise: the statistics asked for, nothing invented."""

import pytest
import torch

from atomnb.simulate import noise


def test_shot_noise_is_poisson():
    counts = noise.shot_noise(torch.full((1, 300, 300), 7.0), torch.Generator().manual_seed(0))
    assert float(counts.mean()) == pytest.approx(7.0, rel=0.01)
    assert float(counts.var()) == pytest.approx(7.0, rel=0.02)


def test_rows_move_by_the_shift_asked_for():
    image = torch.zeros(1, 8, 40)
    image[:, :, 20] = 1.0
    shift = torch.zeros(1, 8)
    shift[0, 3] = 2.0
    moved = noise.shift_rows(image, shift)
    assert int(moved[0, 3].argmax()) == 22
    assert int(moved[0, 4].argmax()) == 20


def test_dwell_tail_leaks_along_the_scan_only():
    image = torch.zeros(1, 9, 9)
    image[0, 4, 4] = 1.0
    tailed = noise.dwell_tail(image, torch.tensor([0.5]))
    assert float(tailed.sum()) == pytest.approx(1.0, rel=1e-5)
    assert tailed[0, 4, 5] == pytest.approx(0.5 * float(tailed[0, 4, 4]), rel=1e-5)
    assert tailed[0, 4, 3] == 0
    assert tailed[0, 3, 4] == 0


def test_clipping_saturates_the_share_asked_for():
    image = torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(1))
    clipped = noise.clip_quantiles(image, torch.tensor([0.1]), torch.tensor([0.9]))
    assert float((clipped == clipped.max()).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_quantizing_leaves_that_many_levels():
    image = torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(1))
    assert len(noise.quantize(image, torch.tensor([15.0])).unique()) == 16


def test_smooth_field_is_standard_and_smooth():
    field = noise.smooth_field((1, 128, 128), 20.0, torch.Generator().manual_seed(2))[0]
    assert float(field.std()) == pytest.approx(1.0, rel=1e-3)
    assert float((field[1:] - field[:-1]).std()) < 0.2


def test_afterglow_drags_a_column_by_the_lag_stated():
    decay = torch.tensor([0.0, 0.2, 0.5])
    spot = torch.zeros(3, 5, 30)
    spot[:, 2, 12] = 1
    seen = noise.dwell_tail(spot, decay)[:, 2]
    centre = (seen * torch.arange(30)).sum(dim=1) / seen.sum(dim=1)
    torch.testing.assert_close(centre - 12, noise.dwell_lag(decay))
