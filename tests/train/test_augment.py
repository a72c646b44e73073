"""Augmentation: truth stays on the columns, effects have the strength asked for, and nothing waits for the host."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from atomnb.errors import AtomnbError
from atomnb.simulate import render
from atomnb.simulate.batch import Batch
from atomnb.train.augment import EFFECTS, NO_EFFECTS, AugmentConfig, augment, augmented

SIZE = (96, 112)
STRONG = {
    "rotation_rad": (1, -3.0, 3.0),
    "zoom": (1, 0.8, 1.25),
    "drift_px": (1, 4.0, 8.0),
    "jitter_px": (1, 0.3, 0.6),
    "contamination": (1, 0.5, 1.5),
    "blur_px": (1, 0.5, 1.5),
    "noise": (1, 0.05, 0.1),
    "gamma": (1, 0.7, 1.4),
    "cutout_px": (1, 16.0, 30.0),
}


def batch(n=6, seed=0, sigma=2.2):
    """Columns of two classes, about 12 px apart, without noise."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(0, s, 12.0) for s in SIZE), indexing="ij"), -1).reshape(-1, 2)
    yx = torch.tensor(grid + rng.uniform(-2, 2, (n, *grid.shape)), dtype=torch.float32)
    kind = torch.tensor(rng.integers(0, 2, (n, len(grid))))
    images = render.render_columns(yx, 1.0 + kind, torch.full(kind.shape, sigma), SIZE)
    labels = [render.render_heatmap(yx, (kind == k).float(), SIZE, sigma=render.LABEL_SIGMA) for k in (0, 1)]
    return Batch(images, torch.stack(labels, dim=1), torch.ones(n, *SIZE))


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def summits(maps, height):
    """Sub-pixel places (M, 2) of the maxima above `height` of one map, 6 px or more from the border."""
    top = (maps == F.max_pool2d(maps[None, None], 5, 1, 2)[0, 0]) & (maps > height)
    y, x = torch.nonzero(top).T
    inner = (y > 5) & (y < SIZE[0] - 6) & (x > 5) & (x < SIZE[1] - 6)
    y, x = y[inner], x[inner]

    def vertex(before, at, after):
        return 0.5 * (before - after) / (before - 2 * at + after).clamp(max=-1e-9)

    value = maps[y, x]
    dy, dx = vertex(maps[y - 1, x], value, maps[y + 1, x]), vertex(maps[y, x - 1], value, maps[y, x + 1])
    return torch.stack([y + dy.clamp(-1, 1), x + dx.clamp(-1, 1)], dim=1)


def distances(changed):
    """From each labelled column of full weight to the nearest maximum of the (slightly smoothed) image, px."""
    out = []
    kernel = torch.tensor([0.25, 0.5, 0.25])
    for image, labels, weights in zip(*changed, strict=True):
        smooth = F.conv2d(
            F.conv2d(image[None, None], kernel[None, None, None], padding=(0, 1)),
            kernel[None, None, :, None],
            padding=(1, 0),
        )
        found = summits(smooth[0, 0], -1e9)
        wanted = summits(labels.sum(dim=0), 0.4)
        y, x = wanted.round().long().T
        taught = F.max_pool2d(1 - weights[None, None], 11, 1, 5)[0, 0, y, x] < 0.01
        out.append(torch.cdist(wanted[taught], found).amin(dim=1))
    return torch.cat(out)


@pytest.mark.parametrize("name", EFFECTS)
def test_image_and_truth_agree_after_each_effect(name):
    before = batch()
    after = augment(before, replace(NO_EFFECTS, **{name: STRONG[name]}), seeded())
    assert not torch.equal(after.images, before.images)
    gap = distances(after)
    assert len(gap) > 60
    assert gap.median() < (0.35 if name in ("noise", "jitter_px") else 0.15)
    assert (gap < 1.0).float().mean() > 0.98


def test_image_and_truth_agree_after_all_of_them():
    gap = distances(augment(batch(), AugmentConfig(**{**STRONG, "cutout_px": (1, 8, 16)}), seeded()))
    assert len(gap) > 40 and gap.median() < 0.4


def test_the_check_above_can_fail():
    moved = augment(batch(), replace(NO_EFFECTS, drift_px=(1, 6, 6)), seeded())
    assert distances(moved._replace(labels=batch().labels)).median() > 0.5


@pytest.mark.parametrize("name", ["rotation_rad", "zoom", "drift_px", "jitter_px"])
def test_classes_move_with_their_columns(name):
    after = augment(batch(), replace(NO_EFFECTS, **{name: STRONG[name]}), seeded())
    weight = after.labels * after.weights[:, None]
    faint, bright = ((weight[:, k] * after.images).sum() / weight[:, k].sum() for k in (0, 1))
    assert float(bright / faint) == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("zoom", [0.8, 1.25])
def test_labels_keep_their_width_under_zoom(zoom):
    alone = torch.zeros(1, 1, 2) + torch.tensor([48.0, 56.0])
    label = render.render_heatmap(alone, torch.ones(1, 1), SIZE, sigma=render.LABEL_SIGMA)[:, None]
    after = augment(
        Batch(torch.rand(1, *SIZE), label, torch.ones(1, *SIZE)), replace(NO_EFFECTS, zoom=(1, zoom, zoom)), seeded()
    )
    assert float(after.labels.sum()) == pytest.approx(2 * np.pi * render.LABEL_SIGMA**2, rel=0.04)
    assert float(after.labels.max()) > 0.9


def test_what_comes_from_outside_weighs_nothing():
    after = augment(batch(), replace(NO_EFFECTS, zoom=(1, 0.5, 0.5)), seeded())
    share = after.weights.mean(dim=(1, 2))
    torch.testing.assert_close(share, torch.full_like(share, 0.25), rtol=0.1, atol=0)
    middle = after.weights[:, 30:66, 35:77]
    assert (middle > 0.99).all()


def test_cut_outs_wipe_the_image_and_teach_nothing():
    before = batch()
    after = augment(before, replace(NO_EFFECTS, cutout_px=(1, 20, 20)), seeded())
    for image, weights, old in zip(after.images, after.weights, before.images, strict=True):
        gone = weights == 0
        assert 0.01 < gone.float().mean() < 2 * 400 / (SIZE[0] * SIZE[1]) + 0.01
        assert image[gone].unique().numel() == 1
        assert torch.equal(image[~gone], old[~gone])
    assert torch.equal(after.labels, before.labels)


@pytest.mark.parametrize("name", ["contamination", "blur_px", "noise", "gamma"])
def test_effects_on_the_signal_leave_the_truth_alone(name):
    before = batch()
    after = augment(before, replace(NO_EFFECTS, **{name: STRONG[name]}), seeded())
    assert torch.equal(after.labels, before.labels) and torch.equal(after.weights, before.weights)


def test_strengths_are_those_asked_for():
    before = batch(n=8)
    noisy = augment(before, replace(NO_EFFECTS, noise=(1, 0.4, 0.4)), seeded()).images - before.images
    ratio = noisy.std(dim=(1, 2)) / before.images.std(dim=(1, 2))
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.4), rtol=0.05, atol=0)
    dot = torch.zeros(2, *SIZE)
    dot[:, 48, 56] = 1
    blurred = augment(Batch(dot, dot[:, None], dot), replace(NO_EFFECTS, blur_px=(1, 1.5, 1.5)), seeded()).images
    offset = torch.arange(SIZE[0]) - 48.0
    assert float((blurred.sum(dim=2) * offset**2).sum(dim=1)[0]) == pytest.approx(1.5**2, rel=0.05)
    assert float(blurred[0].sum()) == pytest.approx(1, rel=1e-4)
    bent = augment(before, replace(NO_EFFECTS, gamma=(1, 2.0, 2.0)), seeded()).images
    low, high = before.images.amin(dim=(1, 2), keepdim=True), before.images.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close((bent - low) / (high - low), ((before.images - low) / (high - low)) ** 2)


def test_about_the_share_asked_for_is_changed_and_each_in_its_own_way():
    before = batch(n=400, sigma=2.0)
    after = augment(before, replace(NO_EFFECTS, noise=(0.3, 0.1, 0.9)), seeded())
    change = (after.images - before.images).std(dim=(1, 2))
    assert 0.22 < (change > 0).float().mean() < 0.38
    assert change[change > 0].unique().numel() > 100


def test_nothing_on_changes_nothing():
    before = batch()
    for part, other in zip(augment(before, NO_EFFECTS, seeded()), before, strict=True):
        assert torch.equal(part, other)


def test_the_batch_given_is_not_modified():
    before, copy = batch(), batch()
    augment(before, AugmentConfig(**STRONG), seeded())
    assert all(torch.equal(a, b) for a, b in zip(before, copy, strict=True))


def test_the_generator_decides():
    config = AugmentConfig()
    one, two, other = (augment(batch(), config, seeded(s)) for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one.images, other.images)


def test_a_stream_resumes_exactly():
    def batches(first):
        return (batch(n=2, seed=i) for i in itertools.count(first))

    stream = augmented(batches, AugmentConfig(), seed=7)
    whole = list(itertools.islice(stream(0), 4))
    for a, b in zip(whole[2:], itertools.islice(stream(2), 2), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_nothing_waits_for_the_host():
    """On fake tensors, which hold no values, any question for a value is an error."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as fake:
        pretended = Batch(*(fake.from_tensor(part) for part in batch()))
        after = augment(pretended, AugmentConfig(**STRONG), seeded())
        assert [part.shape for part in after] == [part.shape for part in pretended]
        with pytest.raises(Exception, match="_local_scalar_dense"):
            float(after.images.mean())


def test_a_config_survives_json():
    config = AugmentConfig(noise=(0.5, 0.1, 0.2))
    assert AugmentConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"noise": (2, 0, 1)}, "share from 0 to 1"),
        ({"noise": (0.5, 1, 0)}, "low ≤ high"),
        ({"blur_px": (0.5, -1, 1)}, "not negative"),
        ({"zoom": (0.5, 0, 1)}, "positive"),
        ({"gamma": 0.5}, "share of the samples, low, high"),
        ({"cutouts": 0}, "at least 1"),
    ],
)
def test_configs_that_make_no_sense(changes, says):
    with pytest.raises(AtomnbError, match=says):
        AugmentConfig(**changes)


def test_batches_that_are_none():
    whole = batch()
    with pytest.raises(AtomnbError, match=r"labels \(B, K, H, W\)"):
        augment(whole._replace(labels=whole.labels[:, 0]), AugmentConfig(), seeded())
    with pytest.raises(AtomnbError, match="images and weights"):
        augment(whole._replace(weights=whole.weights[:2]), AugmentConfig(), seeded())
    with pytest.raises(AtomnbError, match="generator is on cpu"):
        augment(Batch(*(part.to("meta") for part in whole)), AugmentConfig(), seeded())
