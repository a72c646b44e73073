"""Ensembles: the mean is the mean, disagreement is told from doubt, and the unknown raises it."""

import numpy as np
import pytest
import torch

from atomnb.data.examples import sample_image
from atomnb.errors import ModelError
from atomnb.locate.detect import score_spread
from atomnb.locate.peaks import Peaks
from atomnb.locate.pipeline import analyze
from atomnb.locate.zoom import Zoom
from atomnb.nets.checkpoint import Model, ModelCard, list_models, load_model, save_model
from atomnb.nets.ensemble import combine_maps, combine_models
from atomnb.nets.normalize import normalize
from atomnb.nets.registry import create_net
from atomnb.segment import predict_probability
from atomnb.simulate.batch import Batch
from atomnb.simulate.render import render_heatmap
from atomnb.train.loop import TrainConfig, fit


def two_class(p):
    return np.stack([1 - np.asarray(p, np.float32), np.asarray(p, np.float32)])


def test_members_that_agree_on_a_doubtful_pixel_share_no_information():
    maps = combine_maps([two_class([[0.5]]), two_class([[0.5]])])
    assert maps.information[0, 0] == pytest.approx(0, abs=1e-6)
    assert maps.entropy[0, 0] == pytest.approx(np.log(2))


def test_certain_members_that_disagree_differ_by_one_bit():
    maps = combine_maps([two_class([[0.0]]), two_class([[1.0]])])
    assert maps.information[0, 0] == pytest.approx(np.log(2), abs=1e-5)
    np.testing.assert_allclose(maps.probability[:, 0, 0], 0.5)


@pytest.mark.parametrize("maps", [[two_class([[0.5]])], [two_class([[0.5]]), two_class([[0.5, 0.5]])]])
def test_maps_that_do_not_fit_are_refused(maps):
    with pytest.raises(ModelError, match="at least two maps"):
        combine_maps(maps)


def member(seed, n_classes=2):
    torch.manual_seed(seed)
    net = create_net("encoder-decoder", {"n_classes": n_classes, "widths": (4, 8)})
    names = ("background", *(f"class {k}" for k in range(1, n_classes)))
    return Model(
        net.eval(), ModelCard(f"member-{seed}", "", names, {"name": "encoder-decoder"}, {"spacing_px": [6, 8]})
    )


def test_the_ensemble_is_a_model_whose_map_is_the_mean(rng):
    image = rng.random((48, 40)).astype(np.float32)
    members = [member(1), member(2), load_model("universal")]
    members[2] = Model(members[2].net, members[0].card)
    together = combine_models(members, name="three")
    mean = np.mean([predict_probability(image, m) for m in members], axis=0)
    np.testing.assert_allclose(predict_probability(image, together), mean, atol=5e-3)
    assert together.net.stride == 16
    assert "member-1" in together.card.summary


def test_a_saved_ensemble_is_a_model_by_name_that_tells_how_far_its_members_differ(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMNB_MODELS", str(tmp_path))
    alike, other = (load_model("universal", fused=False) for _ in range(2))
    with torch.no_grad():
        other.net.head.bias[4:] -= 1.0  # less of an atom everywhere
    both = combine_models([alike, other], name="both")
    save_model(both.net, both.card, tmp_path)
    assert "both" in [card.name for card in list_models()]
    image = sample_image("si-110")
    df = analyze(image, model="both", pixel_size=0.1, refine=False).atoms.df
    assert len(df) and (df["score_spread"] > 0.01).any() and (df["score_spread"] <= 0.5).all()
    same = analyze(image, model=combine_models([alike, alike], name="same"), pixel_size=0.1, refine=False).atoms.df
    np.testing.assert_allclose(same["score_spread"], 0, atol=1e-6)
    assert "score_spread" not in analyze(image, pixel_size=0.1, refine=False).atoms.df


def test_without_atoms_there_is_no_spread():
    model = combine_models([load_model("universal")] * 2, name="twice")
    nothing = Peaks(np.zeros((0, 2)), np.zeros(0))
    assert score_spread(np.zeros((64, 64), np.float32), model, Zoom(1.0, True, []), nothing).shape == (0,)


def test_models_of_other_classes_are_refused():
    with pytest.raises(ModelError, match="classes"):
        combine_models([member(1), member(2, n_classes=3)], name="x")
    with pytest.raises(ModelError, match="at least two"):
        combine_models([member(1)], name="x")


def spots(seed, kind="atoms"):
    """Spots where atoms are; or, never seen in training, dark spots or stripes."""
    generator = torch.Generator().manual_seed(seed)
    yx = torch.rand(8, 10, 2, generator=generator) * 48
    present = torch.ones(8, 10)
    image = render_heatmap(yx, present, (48, 48), sigma=1.6)
    if kind == "dark":
        image = -image
    if kind == "stripes":
        image = torch.sin(torch.arange(48) / 1.9).expand(8, 48, 48)
    image = image + 0.05 * torch.randn(image.shape, generator=generator)
    return Batch(image, render_heatmap(yx, present, (48, 48), sigma=1.3)[:, None], torch.ones(8, 48, 48))


@pytest.mark.slow
def test_images_unlike_the_training_raise_the_information():
    def batches(first):
        while True:
            yield spots(first)
            first += 1

    plan = TrainConfig(
        steps=150, batch_size=8, log_steps=150, warmup_steps=5, learning_rate=1e-2, ema_decay=0.9, bf16=False
    )
    nets = []
    for seed in range(3):
        torch.manual_seed(seed)
        nets.append(fit(create_net("encoder-decoder", {"widths": (8, 16)}), batches, config=plan).net)

    def information(batch):
        with torch.inference_mode():
            each = [torch.softmax(net(normalize(batch.images[:, None])), dim=1).numpy() for net in nets]
        return float(np.mean([combine_maps([p[i] for p in each]).information.mean() for i in range(8)]))

    known = information(spots(999))
    assert information(spots(999, "stripes")) > 2.5 * known
    assert information(spots(999, "dark")) > 2.5 * known


def test_members_made_from_one_seed_differ():
    told = {"members": [{"name": "encoder-decoder", "options": {"widths": (4, 8)}}] * 2}
    one, again = (create_net("ensemble", told, seed=0).members for _ in range(2))
    first, second = ([p for p in member.parameters() if p.ndim > 1] for member in one)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for a, b in zip(one.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
