"""Atoms beside a brighter kind are judged by a calibration of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atomnb.locate.calibrate import judged_peaks
from atomnb.locate.outshone import is_outshone, rescored
from atomnb.locate.peaks import Peaks, calibrated, find_peaks
from atomnb.nets.checkpoint import Model, load_model
from atomnb.simulate.batch import random_batch
from atomnb.simulate.layout import SceneConfig
from atomnb.simulate.render import LABEL_SIGMA, render_heatmaps

SIDE, SPACING = 96, 8.0


@pytest.fixture(scope="module")
def model():
    return load_model("graphene-si")


def lattice_map():
    """Positions (N, 2) of a square lattice, the index of its silicon, and the map (3, H, W) a certain network gives."""
    grid = np.arange(8.0, SIDE - 7, SPACING)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    silicon = len(points) // 2
    kind = np.zeros((1, 2, len(points)), np.float32)
    kind[0, 0], kind[0, 0, silicon], kind[0, 1, silicon] = 0.75, 0, 1
    maps = render_heatmaps(
        torch.tensor(points[None], dtype=torch.float32), torch.tensor(kind), (SIDE, SIDE), sigma=LABEL_SIGMA
    )
    return points, silicon, np.concatenate([1 - maps[0].sum(dim=0, keepdim=True).numpy(), maps[0].numpy()])


def test_the_neighbours_of_a_bright_atom_are_outshone_and_it_is_not():
    points, silicon, _ = lattice_map()
    bright = np.arange(len(points)) == silicon
    near = np.hypot(*(points - points[silicon]).T) < 1.45 * SPACING
    assert (is_outshone(points, bright) == near & ~bright).all()
    assert not is_outshone(points, np.zeros(len(points), bool)).any()


def test_only_the_scores_beside_it_change_and_those_below_the_threshold_go(model):
    points, silicon, maps = lattice_map()
    usual, beside = (1.0, 0.0), (1.0, -2.0)
    card = replace(model.card, calibration={"lattice": usual, "single": usual, "beside Si": beside})
    found = find_peaks(1 - maps[0], threshold=0.5, calibration=usual)
    assert len(found.score) == len(points)
    kept = rescored(found, maps, Model(model.net, card), usual=usual, threshold=0.1)
    outshone = np.hypot(*(kept.positions_yx - points[silicon]).T).round(3)
    changed = (outshone > 0.1) & (outshone < 1.45 * SPACING)
    assert changed.sum() == 8
    assert kept.score[~changed] == pytest.approx(found.score[~changed])
    assert kept.score[changed] == pytest.approx(calibrated(found.score[changed], beside), abs=1e-6)
    assert len(rescored(found, maps, Model(model.net, card), usual=usual, threshold=0.5).score) == len(points) - 8


def test_models_without_such_an_entry_judge_all_alike():
    points, _, maps = lattice_map()
    found = Peaks(points, np.full(len(points), 0.6))
    assert rescored(found, maps, load_model("tmd"), usual=(1.0, 0.0), threshold=0.5) is found


def test_peaks_beside_silicon_are_surer_than_they_ought_to_be_and_the_card_knows(model):
    """On simulated scenes; without a calibration of their own, too many of the doubtful ones would be listed."""
    scenes = SceneConfig(
        material="graphene-si", typical_spacing=7.0, spacing=(4.9, 10.0), spacing_over_sigma=(2.6, 4.6), shoulders=True,
        sigma=(0.95, 4.0), low_dose=(30.0, 400.0), share_low_dose=0.5, share_bent=0.0,
    )  # fmt: skip
    silicon = model.classes.index("Si")
    batch = random_batch(np.random.default_rng(21), 32, scenes)
    everywhere, beside = (list(judged_peaks(model.net, batch, beside=kind)) for kind in (None, silicon))
    assert all(len(part) <= len(whole) for (whole, _), (part, _) in zip(everywhere, beside, strict=True))
    mass, true = (np.concatenate(part) for part in zip(*beside, strict=True))
    assert len(mass) > 100
    usual, own = (calibrated(mass, model.card.calibration[key]) for key in ("lattice", "beside Si"))
    assert abs(own.mean() - true.mean()) < abs(usual.mean() - true.mean())
    doubtful = (usual > 0.3) & (usual < 0.8)
    assert doubtful.sum() > 10
    assert (own[doubtful] < usual[doubtful]).all()
