"""Label-free adaptation: what stands out of the lattice is found and learnt, and the net finds it in later frames."""

import numpy as np
import pytest
import torch

from atomnb.errors import ImageError
from atomnb.locate.peaks import find_peaks
from atomnb.metrics import match_positions
from atomnb.segment import predict_probability
from atomnb.train.adapt import AdaptConfig, adapt
from atomnb.train.losses import focal_cross_entropy, soft_cross_entropy
from atomnb.train.residual import find_defects, remove_lattice

SPACING = 9.0
SIGMA = 2.0


def movie(seed, frames, *, side=192, counts=500.0, missing=10, added=8, angle=0.31):
    """A drifting hexagonal sheet whose vacancies and heavier dopants sit elsewhere in every frame."""
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cell = SPACING * np.array([[1, 0], [0.5, np.sqrt(3) / 2]]) @ turn
    index = np.stack(np.meshgrid(*[np.arange(-40, 41)] * 2), -1).reshape(-1, 2)
    for _ in range(frames):
        yx = index @ cell + side / 2 + rng.uniform(-4, 4, 2)
        yx = yx[((yx > -8) & (yx < side + 8)).all(axis=1)]
        chosen = []
        for i in rng.permutation(np.flatnonzero(((yx > 10) & (yx < side - 10)).all(axis=1))):
            if len(chosen) < missing + added and all(np.hypot(*(yx[i] - yx[j])) > 2.2 * SPACING for j in chosen):
                chosen.append(i)
        amplitude = np.ones(len(yx))
        amplitude[chosen[:missing]] = 0
        amplitude[chosen[missing:]] = 2.2
        yx = yx + rng.normal(0, 0.25, yx.shape)
        grid = np.arange(side)
        rows, columns = (np.exp(-0.5 * ((grid - yx[:, [axis]]) / SIGMA) ** 2) for axis in (0, 1))
        expected = counts / (2 * np.pi * SIGMA**2) * ((rows * amplitude[:, None]).T @ columns) + 1
        yield rng.poisson(expected).astype(np.float32), yx[chosen[:missing]], yx[chosen[missing:]]


@pytest.mark.parametrize("seed", range(4))
def test_the_residual_of_one_frame_tells_its_defects(seed):
    image, missing, added = next(movie(seed, 1))
    residual = remove_lattice(image)
    assert residual.period == pytest.approx(SPACING * np.sqrt(3) / 2, rel=0.03)
    found = find_defects(residual)
    for sign, truth in ((-1, missing), (1, added)):
        of_sign = found.positions_yx[np.sign(found.height) == sign]
        assert match_positions(of_sign, truth, tolerance=3).f1 > 0.93
    assert set(found.label[found.height < 0]).isdisjoint(found.label[found.height > 0])


def test_a_perfect_lattice_has_no_defects():
    image, _, _ = next(movie(5, 1, missing=0, added=0))
    assert len(find_defects(remove_lattice(image)).height) <= 1
    with pytest.raises(ImageError, match="at least 4"):
        adapt(image)


def test_noise_has_no_lattice(rng):
    with pytest.raises(ImageError, match="no lattice"):
        remove_lattice(rng.normal(size=(128, 128)))


def test_rotated_copies_of_a_defect_are_one_kind():
    """Vacancies with a fainter neighbour along one of three directions: the directions are not told apart."""
    rng = np.random.default_rng(3)
    image = np.zeros((240, 240))
    grid = np.arange(240)
    centres, amplitude = [], []
    for i in range(-20, 21):
        for j in range(-20, 21):
            centres.append((120 + 9 * (i + 0.5 * j), 120 + 9 * np.sqrt(3) / 2 * j))
            pair = i % 7 == 0 and j % 7 == 0
            amplitude.append(0.0 if pair else 1.0)
    centres, amplitude = np.array(centres), np.array(amplitude)
    for k, yx in enumerate(centres[amplitude == 0]):
        way = np.pi / 3 * (k % 3)
        other = yx + 9 * np.array([np.cos(way), np.sin(way)])
        amplitude[np.argmin(np.hypot(*(centres - other).T))] = 0.5
    for yx, a in zip(centres, amplitude, strict=True):
        image += a * np.exp(-0.5 * ((grid[:, None] - yx[0]) ** 2 + (grid - yx[1]) ** 2) / 4)
    found = find_defects(remove_lattice(rng.poisson(100 * image + 1).astype(float)))
    assert len(found.height) >= 12
    assert len(set(found.label[found.height < 0])) == 1


@pytest.mark.slow
def test_later_frames_are_read_by_what_the_first_taught():
    first, *later = movie(1, 4)
    config = AdaptConfig(steps=120, batch_size=6, size=80)
    adapted = adapt(first[0], config=config)
    assert adapted.model.classes == ("background", "missing", "added")
    for image, missing, added in later:
        maps = predict_probability(image, adapted.model, zoom=adapted.zoom)
        for plane, truth in zip(maps[1:], (missing, added), strict=True):
            found = (find_peaks(plane, threshold=0.4).positions_yx + 0.5) / adapted.zoom - 0.5
            result = match_positions(found, truth, tolerance=0.5 * SPACING)
            assert result.recall >= 0.9
            assert result.precision >= 0.8


def test_focal_weight_is_per_pixel():
    """A pixel told for certain weighs almost nothing, while a wrong one beside it keeps its whole weight."""
    logits = torch.tensor([[6.0, -6.0], [-6.0, 6.0]]).reshape(2, 2).T.reshape(1, 2, 1, 2).requires_grad_()
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 1, 2)
    weights = torch.ones(1, 1, 2)
    slope = torch.autograd.grad(focal_cross_entropy(logits, labels, weights), logits)[0].abs().sum(dim=1)[0, 0]
    plain = torch.autograd.grad(soft_cross_entropy(logits, labels, weights), logits)[0].abs().sum(dim=1)[0, 0]
    sure, wrong = slope.argmin(), slope.argmax()
    assert slope[sure] < 1e-3 * plain[sure]
    assert slope[wrong] == pytest.approx(float(plain[wrong]), rel=0.01)


def test_adaptation_is_repeated_by_its_seed():
    image = next(movie(1, 1))[0]

    def weights(seed):
        net = adapt(image, config=AdaptConfig(steps=1, batch_size=2, size=80, seed=seed)).model.net
        return torch.cat([p.flatten() for p in net.parameters()])

    first = weights(0)
    torch.rand(1)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)
