"""Crops of labelled sets: labels lie on the columns they name, ignored ones teach nothing, batch i never changes."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from atomnb.data.labelled_scene import LabelledScene
from atomnb.data.labelled_set import open_labelled_set
from atomnb.data.labelled_writer import write_labelled_set
from atomnb.errors import AtomnbError
from atomnb.nets.registry import create_net
from atomnb.simulate import render
from atomnb.simulate.classes import draw_class_map
from atomnb.train.from_set import CropConfig, batch_of, random_crop, stream_set_batches
from atomnb.train.loop import TrainConfig, fit

CONFIG = CropConfig(size=64, pixel_size=0.2, zoom=(0.9, 1.1))


def scene(seed, *, pixel_size=0.125, dark=False, ignored=False, shape=(160, 180)):
    """Bright class-1 and faint class-2 columns on a grid, without noise."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(8, n, 16.0) for n in shape), indexing="ij"), -1).reshape(-1, 2)
    yx = grid + rng.uniform(-2, 2, grid.shape)
    codes = rng.integers(1, 3, len(yx)).astype(np.uint8)
    if ignored:
        codes[::3] = 255
    weight = torch.tensor(np.where(codes == 1, 2.0, 1.0))[None]
    image = render.render_columns(torch.tensor(yx)[None], weight, torch.full_like(weight, 3.0), shape)[0].numpy()
    class_map = draw_class_map(yx, codes, shape, radius=5.0)
    species = np.array(["?", "Mo", "S"], object)[np.where(codes == 255, 0, codes)]
    image = image.max() - image if dark else image
    return LabelledScene(image, class_map, yx, species, codes, pixel_size, f"s{seed}", {"dark_atoms": dark})


@pytest.fixture(scope="module")
def labelled_set(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "set.h5"
    scenes = [scene(i, pixel_size=p, dark=i % 2 == 1) for i, p in enumerate((0.1, 0.125, 0.2, 0.25))]
    return open_labelled_set(write_labelled_set(path, scenes, classes=("Mo", "S")))


def peaks(image, *, above):
    """(N, 2) strict local maxima of an image, away from its border."""
    tall = torch.nn.functional.max_pool2d(image[None, None], 5, 1, 2)[0, 0]
    found = torch.nonzero((image == tall) & (image > above)).numpy()
    return found[((found >= 4) & (found < np.array(image.shape) - 4)).all(axis=1)]


def test_labels_lie_on_the_columns_they_name(labelled_set):
    seen = 0
    for batch in itertools.islice(stream_set_batches(labelled_set, CONFIG, batch_size=8, seed=3, workers=0), 3):
        assert batch.images.shape == batch.weights.shape == (8, 64, 64)
        assert batch.labels.shape == (8, 2, 64, 64)
        assert {part.dtype for part in batch} == {torch.float32}
        for image, labels in zip(batch.images, batch.labels, strict=True):
            level = image - image.min()
            for y, x in peaks(level, above=0.2 * float(level.max())):
                near = labels[:, y - 1 : y + 2, x - 1 : x + 2].amax(dim=(1, 2))
                assert near.max() > 0.7
                seen += 1
    assert seen > 500


def test_the_class_is_the_right_one():
    rng = np.random.default_rng(0)
    for _ in range(5):
        crop = random_crop(scene(1), CONFIG, rng)
        batch = batch_of([crop], 2)
        brightness = torch.stack(
            [(batch.images[0] * batch.labels[0, k]).sum() / batch.labels[0, k].sum() for k in (0, 1)]
        )
        assert 1.6 < float(brightness[0] / brightness[1]) < 2.4
        at = np.round(crop.positions_yx).astype(int)
        inner = ((at > 2) & (at < 61)).all(axis=1)
        value = batch.labels[0][torch.tensor(crop.column_class[inner] - 1.0).long(), at[inner, 0], at[inner, 1]]
        assert value.min() > 0.8


def test_the_scale_is_the_networks():
    still = CropConfig(size=64, pixel_size=0.2, zoom=(1, 1))
    for pixel_size in (0.1, 0.2, 0.25):
        crop = random_crop(scene(0, pixel_size=pixel_size), still, np.random.default_rng(1))
        distance, _ = cKDTree(crop.positions_yx).query(crop.positions_yx, k=2)
        assert np.median(distance[:, 1]) == pytest.approx(16 * pixel_size / 0.2, rel=0.2)
    width = [random_crop(scene(0), CropConfig(64, 0.2, (z, z)), np.random.default_rng(1)) for z in (0.9, 1.1)]
    assert len(width[0].positions_yx) > len(width[1].positions_yx)


def test_columns_just_outside_paint_on_the_crop():
    crop = random_crop(scene(0), CONFIG, np.random.default_rng(5))
    outside = ((crop.positions_yx < -0.5) | (crop.positions_yx > 63.5)).any(axis=1)
    assert outside.any() and np.abs(crop.positions_yx - 31.5).max() < 31.5 + 7


def test_ignored_columns_teach_nothing():
    batch = batch_of([random_crop(scene(2, ignored=True), CONFIG, np.random.default_rng(1))], 2)
    dropped = batch.weights[0] == 0
    assert 0.03 < dropped.float().mean() < 0.4
    assert batch.labels[0, :, dropped].max() < 0.3
    taught = batch_of([random_crop(scene(2), CONFIG, np.random.default_rng(1))], 2)
    assert (taught.weights == 1).all()


def test_dark_atoms_become_bright():
    bright, dark = (random_crop(scene(1, dark=d), CONFIG, np.random.default_rng(1)).image for d in (False, True))
    torch.testing.assert_close(bright - bright.mean(), dark - dark.mean(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 1])
def test_batch_number_i_is_the_same_from_any_start(labelled_set, workers):
    whole = stream_set_batches(labelled_set, CONFIG, batch_size=4, seed=9, workers=0)
    later = stream_set_batches(labelled_set, CONFIG, batch_size=4, seed=9, start=2, workers=workers)
    wanted = list(itertools.islice(whole, 4))
    for a, b in zip(wanted[2:], itertools.islice(later, 2), strict=True):
        for part, other in zip(a, b, strict=True):
            torch.testing.assert_close(part, other, rtol=0, atol=0)
    assert not torch.equal(wanted[0].images, wanted[1].images)


def test_memory_for_read_scenes_is_bounded(labelled_set, monkeypatch):
    from atomnb.train import from_set

    monkeypatch.setattr(from_set, "CACHE_BYTES", 300_000)
    cache = from_set._Cache(labelled_set)
    for number in (0, 1, 2, 3, 0):
        cache.get(number)
        assert len(cache._held) <= 2
    assert cache._bytes <= 300_000


def test_the_loop_learns_from_a_set(labelled_set):
    def batches(start):
        return stream_set_batches(labelled_set, CONFIG, batch_size=4, seed=1, start=start, workers=0)

    torch.manual_seed(1)
    net = create_net("unet", {"widths": (8, 8, 8, 8), "n_classes": 3})
    config = TrainConfig(steps=40, batch_size=4, log_steps=10, warmup_steps=2, learning_rate=5e-3, bf16=False)
    history = fit(net, batches, config=config).history
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_bad_input(labelled_set):
    large = CropConfig(size=256, pixel_size=0.25)
    with pytest.raises(AtomnbError, match=r"too small for crops of 71\.1 × 71\.1 Å"):
        stream_set_batches(labelled_set, large, batch_size=2, seed=0)
    for changes, says in (
        ({"size": 50}, "multiple of 8"),
        ({"pixel_size": 0}, "positive"),
        ({"zoom": (2, 1)}, "low ≤"),
    ):
        with pytest.raises(AtomnbError, match=says):
            CropConfig(**changes)
