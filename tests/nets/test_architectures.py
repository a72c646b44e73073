"""One battery for every architecture in the registry."""

import json

import pytest
import torch
import torch.nn.functional as F

from atomnb.errors import ImageError
from atomnb.nets.checkpoint import ModelCard, fuse_batch_norm, load_model, save_model
from atomnb.nets.registry import ARCHITECTURES, create_net, describe_net


@pytest.fixture(params=sorted(ARCHITECTURES))
def net(request):
    torch.manual_seed(0)
    return create_net(request.param)


def used(net):
    """`net` as after some training: batch statistics that are not those of a new network."""
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(std=0.3)
            part.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize("multiples", [(1, 1), (4, 7), (6, 2)])
def test_output_has_the_size_of_the_input(net, multiples):
    net.eval()
    shape = [2, 1, *(n * net.stride for n in multiples)]
    with torch.inference_mode():
        out = net(torch.randn(shape))
    assert out.shape == (2, 2, *shape[2:])
    assert torch.isfinite(out).all()


def test_a_size_that_does_not_fit_is_refused_with_one_that_does(net):
    stride = net.stride
    with pytest.raises(ImageError, match=f"{4 * stride} × {5 * stride}"):
        net(torch.randn(1, 1, 3 * stride + 1, 5 * stride))


def test_more_classes(net):
    name = describe_net(net)["name"]
    out = create_net(name, {"n_classes": 4}).eval()(torch.randn(1, 1, 64, 64))
    assert out.shape == (1, 4, 64, 64)


def test_a_new_network_expects_background(net):
    net.eval()
    with torch.inference_mode():
        probability = torch.softmax(net(torch.randn(1, 1, 64, 64)), dim=1)
    assert float(probability[:, 0].mean()) > 0.85


def test_every_parameter_learns(net):
    net(torch.randn(4, 1, 64, 64)).square().mean().backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_network_sees_several_neighbours(net):
    """The receptive field reaches at least two spacings of 9 px, or it could not use the lattice."""
    net.eval()
    image = torch.randn(1, 1, 128, 128, requires_grad=True)
    net(image)[0, 1, 64, 64].backward()
    assert float(image.grad[0, 0, :, 82].abs().sum()) > 0


def test_the_output_moves_with_the_image(net):
    used(net)
    stride = net.stride
    wide = torch.randn(1, 1, 512, 512 + stride)
    with torch.inference_mode():
        left, right = net(wide[..., :-stride]), net(wide[..., stride:])
    middle = slice(240, 272)
    torch.testing.assert_close(
        left[..., middle, 240 + stride : 272 + stride], right[..., middle, middle], atol=1e-4, rtol=1e-4
    )


def test_one_batch_can_be_learnt_by_heart(net):
    """Spots of two brightnesses: after a few steps nearly every pixel is told right, which a broken path cannot."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.zeros(2, 1, 32, 32)
    centres[:, :, 5::9, 5::9] = 1
    centres *= (torch.rand(centres.shape, generator=generator) > 0.3).float()
    images = F.conv2d(centres, torch.ones(1, 1, 5, 5), padding=2)
    labels = F.conv2d(centres, torch.ones(1, 1, 3, 3), padding=1)[:, 0].long()
    images = images * 3 + 0.1 * torch.randn(images.shape, generator=generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        if loss < 0.03:
            break
    assert float(loss.detach()) < 0.03


def test_description_makes_the_same_network(net):
    described = describe_net(net)
    again = create_net(described["name"], json.loads(json.dumps(described["options"])))
    assert [p.shape for p in again.parameters()] == [p.shape for p in net.parameters()]
    assert again.config == net.config


def test_folding_batch_norm_changes_nothing(net):
    used(net)
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        before = net(image)
        fuse_batch_norm(net)
        torch.testing.assert_close(net(image), before, atol=1e-4, rtol=1e-3)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())


def test_it_survives_the_disk_and_is_small(net, tmp_path):
    used(net)
    card = ModelCard(
        "tiny", "for tests", ("background", "column"), describe_net(net), {"spacing_px": [6.3, 8.4]}
    )  # fmt: skip
    path = save_model(net, card, tmp_path)
    assert path.stat().st_size < 8e6
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(load_model(path).net(image), net(image), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_first_weights_follow_the_seed_alone(name):
    """Whatever was drawn before, and without disturbing what is drawn after."""

    def weights(seed):
        return torch.cat([p.detach().flatten() for p in create_net(name, seed=seed).parameters()])

    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = weights(3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.randn(5)
    assert torch.equal(weights(3), first)
    assert not torch.equal(weights(4), first)
