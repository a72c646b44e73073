"""Patches with one label each, and what a classifier learns from them."""

from itertools import islice

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from atomnb.errors import AtomnbError
from atomnb.nets.cam import class_activation_map, classify, create_classifier, locate_activation
from atomnb.simulate.batch import Batch
from atomnb.train.cam import (
    BORDER,
    CLASSES,
    PIXEL_SIZE,
    SIZE,
    SMALL_SIZE,
    image_cross_entropy,
    sample_patch,
    stream_patches,
    train_classifier,
)
from atomnb.train.loop import TrainConfig, fit

DEFECTS = [k for k, name in enumerate(CLASSES) if name != "none"]


def patch(name, seed, electrons=1e6):
    return sample_patch(CLASSES.index(name), rng=np.random.default_rng(seed), electrons_per_column=electrons)


def brightness(patch, yx):
    """Counts within 0.6 Å."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return patch.image[np.hypot(y - yx[0], x - yx[1]) < 0.6 / PIXEL_SIZE].sum()


@pytest.mark.parametrize("label", DEFECTS)
def test_the_defect_lies_inside_and_on_a_site(label):
    for seed in range(8):
        one = sample_patch(label, rng=np.random.default_rng(seed), electrons_per_column=1000)
        margin = BORDER / PIXEL_SIZE - 2  # displacements and the scan move it a little
        assert margin < one.defect_yx.min() and one.defect_yx.max() < SIZE - 1 - margin
        nearest = cKDTree(one.positions_yx).query(one.defect_yx)[0] * PIXEL_SIZE
        if CLASSES[label] in ("V_X2", "V_M"):
            assert 1.5 < nearest < 2.2  # one bond away
        else:
            assert nearest < 1e-6


def test_small_patches_always_have_room_for_a_defect():
    for seed in range(20):
        one = sample_patch(1 + seed % 5, rng=np.random.default_rng(seed), electrons_per_column=1000, size=SMALL_SIZE)
        assert one.image.shape == (SMALL_SIZE, SMALL_SIZE)
        assert np.isfinite(one.defect_yx).all()


def test_a_perfect_sheet_has_no_defect():
    one = patch("none", 0)
    assert np.isnan(one.defect_yx).all()
    assert set(one.species) == {"metal", "pair"}


@pytest.mark.parametrize(("name", "site", "ratio"), [("V_X", "pair", (0.3, 0.95)), ("V_X2", "pair", (0, 0.75))])
def test_missing_atoms_darken_their_column(name, site, ratio):
    """Half of the pair's scattering, or none, on top of the background and the tails of the neighbours."""
    for seed in range(5):
        one = patch(name, seed)
        inner = one.positions_yx[(one.species == site) & (np.abs(one.positions_yx - SIZE / 2).max(axis=1) < 20)]
        share = brightness(one, one.defect_yx) / np.median([brightness(one, p) for p in inner])
        assert ratio[0] < share < ratio[1]


def test_a_metal_on_a_pairs_place_is_as_bright_as_a_metal():
    one = patch("M_X2", 1)
    metals = one.positions_yx[(one.species == "metal") & (np.abs(one.positions_yx - SIZE / 2).max(axis=1) < 20)]
    assert brightness(one, one.defect_yx) == pytest.approx(np.median([brightness(one, p) for p in metals]), rel=0.25)


def test_the_dose_is_the_stated_one():
    """The mean column's electrons, times the columns of a perfect sheet without its background."""
    one, more = (patch("none", 3, electrons) for electrons in (1000, 4000))
    assert more.image.sum() / one.image.sum() == pytest.approx(4, rel=0.02)


def test_an_unknown_class_is_refused():
    with pytest.raises(AtomnbError, match="V_X2"):
        sample_patch(len(CLASSES), rng=np.random.default_rng(0), electrons_per_column=100)


def test_the_stream_goes_on_where_it_stopped():
    whole = list(islice(stream_patches(batch_size=4, seed=5), 6))
    rest = next(stream_patches(5, batch_size=4, seed=5))
    assert torch.equal(whole[5].images, rest.images) and torch.equal(whole[5].labels, rest.labels)
    assert torch.equal(whole[0].images.flip(-1), whole[2].images)
    assert torch.equal(whole[0].labels, whole[2].labels)
    assert not torch.equal(whole[0].labels, whole[4].labels) or not torch.equal(whole[0].images, whole[4].images)
    assert whole[0].labels.shape == (4, len(CLASSES) - 1, 1, 1)


def test_patches_grow_on_the_way():
    stream = stream_patches(batch_size=2, seed=5, sides=((0, SMALL_SIZE), (4, 32), (8, SIZE)))
    assert [b.images.shape[-1] for b in islice(stream, 10)] == [SMALL_SIZE] * 4 + [32] * 4 + [SIZE] * 2


def test_the_loss_is_that_of_whole_images():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))
    labels = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]
    loss = image_cross_entropy(logits, labels, torch.ones(2, 1, 1))
    assert float(loss) == pytest.approx(-(np.log(0.7) + np.log(0.5)) / 2, abs=1e-6)
    assert float(image_cross_entropy(logits, labels, torch.tensor([1.0, 0])[:, None, None])) == pytest.approx(
        -np.log(0.7)
    )


def spots(start, *, noise=0.1):
    """Endless batches of noise, half of them with a bright spot somewhere."""
    y, x = np.mgrid[:32, :32]
    while True:
        rng = np.random.default_rng([1, start])
        label = rng.integers(2, size=16)
        places = rng.uniform(6, 26, (16, 2))
        distance = np.hypot(y - places[:, 0, None, None], x - places[:, 1, None, None])
        images = rng.normal(0, noise, (16, 32, 32)) + label[:, None, None] * np.exp(-(distance**2) / 8)
        one_hot = torch.from_numpy(label).float()[:, None, None, None]
        yield Batch(torch.from_numpy(images).float(), one_hot, torch.ones(16, 1, 1))
        start += 1


def test_places_are_learnt_without_being_told():
    """From 'there is a spot' alone, the activation map comes to point at the spot."""
    torch.manual_seed(0)
    net = create_classifier({"n_classes": 2, "widths": (8, 16, 16)})
    config = TrainConfig(steps=80, learning_rate=1e-2, warmup_steps=10, bf16=False)
    trained = fit(net, spots, config=config, loss=image_cross_entropy).net
    batch = next(spots(10_000))
    right = classify(trained, batch.images.numpy()).argmax(axis=1) == batch.labels[:, 0, 0, 0].numpy()
    assert right.mean() > 0.9
    image = batch.images[int(batch.labels[:, 0, 0, 0].argmax())].numpy()
    brightest = np.unravel_index(image.argmax(), image.shape)
    found = locate_activation(class_activation_map(trained, image)[1])
    assert np.hypot(*(found - brightest)) < 4


def test_the_classifier_is_repeated_by_its_seed():
    def weights(seed):
        net = train_classifier(steps=1, batch_size=2, seed=seed).net
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    before = torch.random.get_rng_state()
    first = weights(0)
    torch.random.set_rng_state(before)
    torch.rand(1)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)
