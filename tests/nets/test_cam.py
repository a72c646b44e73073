"""Class-activation maps: where they point, and what they are made of."""

import numpy as np
import pytest
import torch

from atomnb.errors import ImageError, ModelError
from atomnb.nets.cam import class_activation_map, classify, create_classifier, locate_activation
from atomnb.nets.normalize import normalize
from atomnb.nets.registry import ARCHITECTURES


@pytest.fixture
def net():
    torch.manual_seed(0)
    return create_classifier().eval()


def bright_spot(yx, *, side=64, sigma=5.0):
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - yx[0]) ** 2 + (x - yx[1]) ** 2) / (2 * sigma**2)).astype(np.float32)


def passing_on(net):
    """`net` with weights that hand the image through, so that its map of class 1 is the image, coarser."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for layer in net.features:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight[0, 0, 1, 1] = 1
        net.head.weight[1, 0] = 1
    return net


def test_it_is_the_published_size(net):
    """371 k parameters for the five classes of the published tutorial."""
    assert sum(p.numel() for p in net.parameters()) == 370_949


def test_it_is_no_segmentation_network():
    """What the registry holds gives a class for each pixel; this does not."""
    assert not any("cam" in name for name in ARCHITECTURES)


def test_the_map_explains_the_score(net):
    """The mean of a class's map over the image, plus its bias, is its logit."""
    image = np.random.default_rng(0).normal(size=(64, 48)).astype(np.float32)
    with torch.inference_mode():
        logits = net(normalize(torch.from_numpy(image)[None, None]))[0].numpy()
    maps = class_activation_map(net, image)
    assert maps.shape == (5, 64, 48)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + net.head.bias.detach().numpy(), logits, atol=1e-4)


def test_the_map_is_not_shifted(net):
    """A spot is found where it is, on average over its places between the cells of the coarse map."""
    net = passing_on(net)
    places = [(24 + 0.7 * k, 40 - 1.3 * k) for k in range(8)]
    found = np.array([locate_activation(class_activation_map(net, bright_spot(p))[1]) for p in places])
    error = found - np.array(places)
    assert np.abs(error.mean(axis=0)).max() < 0.5
    assert np.abs(error).max() < 2.0


def test_a_peak_is_found_between_pixels():
    true = (20.3, 41.6)
    np.testing.assert_allclose(locate_activation(bright_spot(true) - 3.0), true, atol=0.05)


def test_a_second_lower_peak_does_not_pull():
    both = bright_spot((15.0, 15.0)) + 0.8 * bright_spot((48.0, 48.0))
    np.testing.assert_allclose(locate_activation(both), (15.0, 15.0), atol=0.1)


def test_probabilities_of_many_images(net):
    probability = classify(net, np.random.default_rng(0).normal(size=(3, 64, 64)))
    assert probability.shape == (3, 5)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("shape", [(63, 64), (64, 62), (2, 64, 64)])
def test_a_size_that_does_not_fit_is_refused(net, shape):
    with pytest.raises(ImageError, match="multiples of 4"):
        class_activation_map(net, np.zeros(shape))


def test_an_unknown_option_is_refused():
    with pytest.raises(ModelError, match="filters"):
        create_classifier({"filters": (1, 2, 3)})
