"""Fine-tuning: it learns a kind of image its parent fails on, keeps what was frozen, and refuses wrong labels."""

import numpy as np
import pytest
import torch

from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError
from atomnb.locate.peaks import find_peaks
from atomnb.metrics import match_positions
from atomnb.nets.checkpoint import load_model, save_model
from atomnb.segment import predict_probability
from atomnb.simulate.batch import Batch
from atomnb.train.finetune import FinetuneConfig, LabelledFrame, finetune, turned

SPACING = 14.0


def rings(seed, side=160, counts=60.0):
    """Ring-shaped molecules on a hexagonal lattice: each is dark in its middle, where its position is."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi)
    cell = SPACING * np.array([[1, 0], [0.5, np.sqrt(3) / 2]])
    cell = cell @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    index = np.stack(np.meshgrid(*[np.arange(-25, 26)] * 2), -1).reshape(-1, 2)
    yx = index @ cell + side / 2 + rng.normal(0, 0.5, (len(index), 2))
    yx = yx[((yx > -8) & (yx < side + 8)).all(axis=1)]
    grid = np.arange(side)
    image = np.zeros((side, side))
    for y, x in yx:
        distance = np.hypot(grid[:, None] - y, grid - x)
        image += np.exp(-0.5 * ((distance - 4.2) / 1.2) ** 2)
    image = rng.poisson(counts * (0.1 + image)).astype(np.float32)
    inside = ((yx > -0.5) & (yx < side - 0.5)).all(axis=1)
    return image, yx[inside]


def score(model, image, truth):
    zoom = 7.0 / SPACING
    found = find_peaks(1 - predict_probability(image, model, zoom=zoom)[0], threshold=0.5).positions_yx
    return match_positions((found + 0.5) / zoom - 0.5, truth, tolerance=0.35 * SPACING).f1


def frame(seed=0, species=None):
    image, yx = rings(seed)
    return LabelledFrame(Micrograph(image, pixel_size=0.5, name="rings"), yx, species)


QUICK = FinetuneConfig(steps=60, batch_size=6, size=64, learning_rate=2e-3)


@pytest.mark.slow
def test_one_labelled_frame_teaches_molecules_that_look_like_rings(tmp_path):
    test, truth = rings(99)
    before = score(load_model("universal"), test, truth)
    model = finetune("universal", [frame()], name="rings", config=QUICK)
    after = score(model, test, truth)
    assert before < 0.6
    assert after > 0.95
    assert "Parent: universal" in model.card.trained_on and "rings" in model.card.trained_on
    again = load_model(save_model(model.net, model.card, tmp_path))
    assert score(again, test, truth) == pytest.approx(after, abs=0.02)


def test_frozen_parts_keep_their_weights():
    parent = load_model("universal", fused=False).net
    quick = FinetuneConfig(steps=2, batch_size=2, size=32, frozen=("stem", "down"))
    net = finetune("universal", [frame()], name="rings", config=quick).net
    moved = {name.split(".")[0] for name, p in net.named_parameters() if not torch.equal(p, parent.get_parameter(name))}
    assert moved == {"bottom", "up", "head"}


def test_new_classes_get_a_new_last_layer():
    species = ["up", "down"] * (len(frame().positions_yx) // 2) + ["up"] * (len(frame().positions_yx) % 2)
    quick = FinetuneConfig(steps=2, batch_size=2, size=32)
    model = finetune("universal", [frame(species=species)], name="rings", classes=("up", "down"), config=quick)
    assert model.classes == ("background", "up", "down")
    with torch.inference_mode():
        assert model.net(torch.randn(1, 1, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ([], {}, "at least one"),
        ([LabelledFrame(frame().image, np.zeros((1, 2)))], {}, "mark all"),
        ([frame(species=["Xx"] * len(frame().positions_yx))], {}, "Xx"),
        ([frame()], {"classes": ("up", "down")}, "one per atom"),
        ([frame()], {"config": FinetuneConfig(size=256)}, "too small"),
        ([frame()], {"config": FinetuneConfig(size=32, frozen=("tail",))}, "no part 'tail'"),
    ],
)
def test_wrong_labels_are_refused(frames, options, message):
    with pytest.raises(AtomnbError, match=message):
        finetune("universal", frames, name="x", **options)


def moved(by=(0.0, 0.0), scale=1.0, order=(0, 1), side=(160, 160)):
    whole = frame()
    image = whole.image.data[..., : side[0], : side[1]]
    yx = whole.positions_yx[(whole.positions_yx < np.array(side) - 0.5).all(axis=1)]
    return LabelledFrame(Micrograph(image, pixel_size=0.5, name="rings"), scale * yx[:, order] + by)


@pytest.mark.parametrize(
    ("labelled", "message"),
    [
        (moved(by=(1e4, 1e4)), r"(\d+) of \1 atoms of rings lie outside its 160 × 160 px.*not Å or nm"),
        (moved(by=(20.0, 0.0)), r"\d+ of \d+ atoms of rings lie outside.*not cropped"),
        (moved(scale=2.0), "outside"),
        (moved(by=(np.nan, 0.0)), "rings has atoms whose y or x is NaN or infinite"),
        (moved(order=(1, 0), side=(100, 160)), "y before x: they are the other way round"),
    ],
)
def test_labels_outside_the_frame_are_refused(labelled, message):
    with pytest.raises(AtomnbError, match=message):
        finetune("universal", [labelled], name="x", config=FinetuneConfig(steps=1, batch_size=2, size=32))


def test_a_mark_a_little_beyond_the_edge_is_an_atom():
    labelled = frame()
    yx = labelled.positions_yx.copy()
    yx[0], yx[1] = (-0.9, 80), (159.9, 80)
    card = finetune(
        "universal",
        [LabelledFrame(labelled.image, yx)],
        name="rings",
        config=FinetuneConfig(steps=1, batch_size=2, size=32),
    ).card
    assert f"with {len(yx)} atoms" in card.summary


def test_an_ensemble_is_refused_with_what_to_take_instead():
    with pytest.raises(AtomnbError, match=r"universal-ensemble is an ensemble.*such as 'universal'"):
        finetune("universal-ensemble", [frame()], name="x")


def test_turning_moves_image_and_labels_together():
    image = torch.rand(1, 8, 8)
    batch = turned(Batch(image, image[:, None], image), quarters=3, flip=True)
    assert torch.equal(batch.images, batch.labels[:, 0]) and torch.equal(batch.images, batch.weights)
    assert not torch.equal(batch.images, image)


def test_fine_tuning_is_repeated_by_its_seed():
    """A new last layer begins with random weights: they follow the seed, too."""
    species = ["up", "down"] * len(frame().positions_yx)
    labelled = frame(species=species[: len(frame().positions_yx)])

    def weights(seed):
        torch.rand(1)
        quick = FinetuneConfig(steps=1, batch_size=2, size=32, seed=seed)
        net = finetune("universal", [labelled], name="rings", classes=("up", "down"), config=quick).net
        return torch.cat([p.flatten() for p in net.parameters()])

    first = weights(0)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)
