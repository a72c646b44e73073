"""Every architecture: shapes, gradients, registry; weights on disk without pickles."""

import json
import math

import numpy as np
import pytest
import torch

from atomnb.errors import ModelError
from atomnb.nets.checkpoint import ModelCard, list_models, load_model, read_card, save_model
from atomnb.nets.normalize import local_statistics, normalize
from atomnb.nets.registry import ARCHITECTURES, create_net, describe_net


@pytest.fixture(params=sorted(ARCHITECTURES))
def net(request):
    torch.manual_seed(0)
    return create_net(request.param)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (2, 1, 96, 160)])
def test_output_has_the_size_of_the_input(net, shape):
    net.eval()
    with torch.inference_mode():
        out = net(torch.randn(shape))
    assert out.shape == (shape[0], 2, *shape[2:])
    assert torch.isfinite(out).all()


def test_every_parameter_learns(net):
    loss = net(torch.randn(2, 1, 64, 64)).square().mean()
    loss.backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert dead == []


def test_network_sees_several_neighbours(net):
    """The receptive field reaches at least three spacings, or it could not use the lattice."""
    net.eval()
    image = torch.zeros(1, 1, 128, 128, requires_grad=True)
    net(image)[0, 1, 64, 64].backward()
    assert float(image.grad[0, 0, 64, 91].abs()) > 0


def test_description_makes_the_same_network(net):
    described = describe_net(net)
    again = create_net(described["name"], json.loads(json.dumps(described["options"])))
    assert [p.shape for p in again.parameters()] == [p.shape for p in net.parameters()]


def test_misspelt_option_and_name_are_errors():
    with pytest.raises(ModelError, match="n_clases"):
        create_net("unet", {"n_clases": 3})
    with pytest.raises(ModelError, match="unknown architecture"):
        create_net("resnet")


def test_normalization_ignores_gain_and_offset():
    image = torch.rand(1, 1, 100, 90) ** 3
    torch.testing.assert_close(normalize(image), normalize(image * 37 + 500), atol=2e-3, rtol=1e-3)


def test_normalization_flattens_a_slope():
    slope = torch.linspace(0, 30, 256).expand(1, 1, 256, 256)
    noise = torch.randn(1, 1, 256, 256)
    flat = normalize(noise + slope)[0, 0, :, 64:-64]
    assert float(flat.mean(dim=0).std()) < 0.35


def test_statistics_of_a_part_are_those_of_the_whole():
    image = torch.rand(1, 1, 256, 256)
    mean, _ = local_statistics(image)
    part, _ = local_statistics(image[..., :192])
    torch.testing.assert_close(mean[..., :16], part[..., :16])


def card(**changes):
    values = dict(
        name="tiny", summary="for tests", classes=("background", "column"),
        architecture={"name": "unet", "options": {"widths": [8, 8, 8, 8]}},
        working={"pixel_size": 0.2, "spacing_px": [6.3, 8.4], "spacing_range_px": [5, 20]},
    )  # fmt: skip
    return ModelCard(**(values | changes))


def test_model_survives_the_disk(tmp_path):
    net = create_net("unet", {"widths": (8, 8, 8, 8)}).eval()
    path = save_model(net, card(), tmp_path)
    model = load_model(path)
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.net(image), net(image), atol=0.02, rtol=0.02)
    assert model.classes == ("background", "column")
    assert [c.name for c in list_models(tmp_path)] == ["tiny"]


def test_damaged_weights_are_refused(tmp_path):
    path = save_model(create_net("unet", {"widths": (8, 8, 8, 8)}), card(), tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="does not match its card"):
        load_model(path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = save_model(create_net("unet", {"widths": (8, 8, 8, 8)}), card(), tmp_path)
    wrong = read_card(path.with_suffix(".json")).to_dict()
    wrong["architecture"]["options"]["widths"] = [8, 8, 8, 16]
    path.with_suffix(".json").write_text(json.dumps(wrong))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(path)


def test_card_of_another_version_is_refused(tmp_path):
    path = save_model(create_net("unet", {"widths": (8, 8, 8, 8)}), card(), tmp_path).with_suffix(".json")
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ModelError, match="format 99"):
        read_card(path)


@pytest.mark.parametrize("name", ["no-such-model", "../universal", "/etc/passwd.safetensors"])
def test_unknown_models_are_refused(name):
    with pytest.raises(ModelError, match="no model"):
        load_model(name)


def test_shipped_models_are_small_described_and_load():
    cards = list_models()
    assert "universal" in [c.name for c in cards]
    for found in cards:
        model = load_model(found.name)
        size = sum(p.numel() * 2 for p in model.net.parameters())
        assert size < 8e6
        assert found.not_for and found.recipe and found.trained_on and found.sha256
        assert found.classes[0] == "background"
        low, high = found.working["spacing_range_px"]
        assert all(low < spacing < high for spacing in found.working["spacing_px"])
        assert not math.isnan(float(np.sum([p.double().sum() for p in model.net.parameters()])))


def test_folding_batch_norm_changes_nothing(net):
    from atomnb.nets.checkpoint import fuse_batch_norm

    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    net.eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        before = net(image)
        fuse_batch_norm(net)
        torch.testing.assert_close(net(image), before, atol=1e-4, rtol=1e-3)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
