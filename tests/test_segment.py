"""Segmentation: same size out, tiles without seams, sums to one, memory errors answered."""

import numpy as np
import pytest
import torch

from atomnb import segment
from atomnb.nets.checkpoint import load_model
from atomnb.simulate.scene import sample_scene


@pytest.fixture(scope="module")
def model():
    return load_model("universal")


@pytest.fixture(scope="module")
def image():
    return sample_scene("mos2").image


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (100, 257), (333, 64)])
def test_any_size_comes_back_the_same(model, rng, shape):
    small = segment.predict_probability(rng.random(shape, np.float32), model, zoom=0.8)
    full = segment.to_image_size(small, shape)
    assert full.shape == (2, *shape)
    np.testing.assert_allclose(full.sum(axis=0), 1, atol=1e-5)
    assert full.min() >= 0


def test_tiles_agree_with_one_piece(model, image):
    whole = segment.predict_probability(image, model, zoom=1.0, tile=768)
    tiled = segment.predict_probability(image, model, zoom=1.0, tile=256)
    assert np.abs(whole - tiled).mean() < 2e-3
    assert (np.abs(whole - tiled) > 0.1).mean() < 1e-3


def test_gain_and_offset_do_not_matter(model, image):
    first = segment.predict_probability(image, model, zoom=0.5)
    second = segment.predict_probability(image * 37 + 500, model, zoom=0.5)
    assert np.abs(first - second).mean() < 2e-3


def test_maps_are_high_on_atoms_and_low_between(model):
    scene = sample_scene("mos2")
    small = segment.predict_probability(scene.image, model, zoom=0.46)
    column = segment.to_image_size(small, scene.image.shape)[1]
    index = np.round(scene.positions_yx[scene.species == "Mo"]).astype(int)
    assert np.median(column[index[:, 0], index[:, 1]]) > 0.6
    assert column.mean() < 0.35


def test_out_of_memory_is_answered_by_smaller_tiles(model, image, monkeypatch):
    sizes = []
    real = segment._run_network

    def small_card(pixels, statistics, net):
        sizes.append(max(pixels.shape))
        if max(pixels.shape) > 300:
            raise torch.OutOfMemoryError("no memory")
        return real(pixels, statistics, net)

    monkeypatch.setattr(segment, "_run_network", small_card)
    out = segment.predict_probability(image, model, zoom=1.0, tile=512)
    assert out.shape == (2, *image.shape)
    assert min(sizes) <= 256


def test_out_of_memory_at_the_smallest_tile_is_passed_on(model, image, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(segment, "_run_network", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        segment.predict_probability(image, model)


def test_progress_rises_and_can_cancel(model, image):
    from atomnb.errors import CancelledError

    seen = []
    segment.predict_probability(image, model, zoom=1.0, tile=256, progress=lambda f, m: seen.append(f))
    assert seen == sorted(seen)
    assert len(seen) > 3

    def cancel(fraction, message):
        raise CancelledError

    with pytest.raises(CancelledError):
        segment.predict_probability(image, model, progress=cancel)


def test_seen_from_all_sides_an_image_and_its_turned_copy_give_the_same(model, image):
    part = np.ascontiguousarray(image[:96, :128])
    seen = segment.predict_from_all_sides(part, model)
    turned = segment.predict_from_all_sides(np.ascontiguousarray(np.rot90(part)), model)
    assert seen.shape == (2, 96, 128)
    np.testing.assert_allclose(np.rot90(turned, -1, axes=(1, 2)), seen, atol=1e-2)
    np.testing.assert_allclose(seen.sum(axis=0), 1, atol=1e-3)
    once = segment.predict_probability(part, model)
    assert np.abs(once - seen).max() > 1e-2, "the network alone is not that symmetric"
