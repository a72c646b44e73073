"""Registry, normalisation, and weights on disk without pickles."""

import json
import math

import numpy as np
import pytest
import torch

from atomnb.errors import AtomnbWarning, ModelError
from atomnb.nets.checkpoint import ModelCard, list_models, load_model, read_card, save_model, user_models_folder
from atomnb.nets.normalize import local_statistics, normalize
from atomnb.nets.registry import create_net


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


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    """The user's folder of models, with one in it."""
    folder = tmp_path / "own"
    monkeypatch.setenv("ATOMNB_MODELS", str(folder))
    save_model(create_net("unet", {"widths": (8, 8, 8, 8)}), card(), folder)
    return folder


def test_the_users_models_are_listed_after_the_shipped_ones_and_load_by_name(own_models):
    assert user_models_folder() == own_models
    names = [c.name for c in list_models()]
    assert names[-1] == "tiny" and "universal" in names[:-1]
    assert load_model("tiny").card.summary == "for tests"


def test_a_shipped_name_wins_over_the_users(own_models):
    save_model(create_net("unet", {"widths": (8, 8, 8, 8)}), card(name="universal"), own_models)
    assert [c.name for c in list_models()].count("universal") == 1
    assert load_model("universal").card.summary != "for tests"


@pytest.mark.parametrize("content", ["", "[]", '{"format": 99}', '{"format": 1, "classes": 3}', '{"format": 1}', "\0"])
def test_a_broken_card_of_the_users_hides_no_other_model(own_models, content):
    (own_models / "broken.json").write_text(content)
    (own_models / "broken.safetensors").write_bytes(b"")
    with pytest.warns(AtomnbWarning, match="broken.json"):
        assert list_models()[-1].name == "tiny"


def test_a_card_whose_fields_are_of_another_kind_is_refused(own_models):
    path = own_models / "tiny.json"
    path.write_text(json.dumps(read_card(path).to_dict() | {"ranges": [1, 2]}))
    with pytest.raises(ModelError, match="ranges"):
        read_card(path)


def test_without_a_folder_of_their_own_users_have_the_shipped_models(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_MODELS", str(tmp_path / "nowhere"))
    assert "universal" in [c.name for c in list_models()]
    with pytest.raises(ModelError, match="choose one of"):
        load_model("tiny")


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
