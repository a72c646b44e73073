"""Detection in noise: the lattice helps to place atoms, and does not invent any."""

import numpy as np
import pytest

from atomnb.locate.detect import detect_atoms
from atomnb.locate.zoom import Zoom, find_zoom
from atomnb.metrics import match_positions
from atomnb.nets.checkpoint import load_model
from atomnb.resample import to_input
from atomnb.simulate import lattice
from atomnb.simulate.scene import render_scene


@pytest.fixture(scope="module")
def model():
    return load_model("universal")


def honeycomb(counts, *, vacancies=0, pixel_size=0.1, size=320, seed=3):
    rng = np.random.default_rng(seed)
    width = size * pixel_size
    sites = lattice.lay_out(lattice.MOTIFS["honeycomb"], 0.8 * width, spacing=1.42, angle=0.2)
    points = sites.positions_yx + width / 2 + rng.normal(0, 0.03, sites.positions_yx.shape)
    inner = np.flatnonzero((np.abs(points - width / 2) < 0.4 * width).all(axis=1))
    gone = rng.choice(inner, vacancies, replace=False)
    keep = np.ones(len(points), bool)
    keep[gone] = False
    scene = render_scene(
        points[keep], np.ones(keep.sum()), np.full(keep.sum(), "C", object), shape=(size, size),
        pixel_size=pixel_size, counts_per_column=counts, background=0.05, rng=rng,
    )  # fmt: skip
    return scene, points[gone] / pixel_size


def found_in(scene, model, zoom=None):
    zoom = zoom or find_zoom(scene.image, model, pixel_size=scene.pixel_size)
    detection = detect_atoms(scene.image, model, zoom)
    return to_input(detection.peaks.positions_yx, scene.image.shape, detection.probability.shape[1:])


def inner(points, shape):
    return points[((points > 8) & (points < np.array(shape) - 8)).all(axis=1)]


@pytest.mark.parametrize("counts, least", [(1000, 0.99), (100, 0.96), (45, 0.90)])
def test_graphene_is_found_down_to_few_electrons(model, counts, least):
    scene, _ = honeycomb(counts)
    shape = scene.image.shape
    result = match_positions(
        inner(found_in(scene, model), shape), inner(scene.positions_yx, shape), tolerance=0.4 * 14.2
    )
    assert result.f1 > least


@pytest.mark.parametrize("counts, most", [(1000, 0), (300, 1), (60, 2)])
def test_vacancies_stay_empty(model, counts, most):
    scene, vacancies = honeycomb(counts, vacancies=12)
    filled = match_positions(found_in(scene, model), vacancies, tolerance=0.3 * 14.2)
    assert len(filled.pairs) <= most


def filled_honeycomb(counts, *, faint=0.26, spacing=2.27, pixel_size=0.17, size=212, seed=5):
    """A honeycomb of bright columns with faint ones in two of three hexagons; the scene and the empty hexagons."""
    rng = np.random.default_rng(seed)
    width = size * pixel_size
    side = 3 * spacing
    cell = side * np.array([[1, 0], [0.5, 0.75**0.5]])
    index = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), -1).reshape(-1, 2)
    kinds = {1.0: [(1, 0), (0, 1), (2, 0), (0, 2), (1, 2), (2, 1)], faint: [(1, 1), (2, 2)], 0.0: [(0, 0)]}
    placed = [((index + np.array(s) / 3) @ cell + width / 2, w) for w, sites in kinds.items() for s in sites]
    points = np.concatenate([p for p, _ in placed])
    weight = np.concatenate([np.full(len(p), w) for p, w in placed])
    inside = (np.abs(points - width / 2) < 0.6 * width).all(axis=1)
    points, weight = points[inside], weight[inside]
    there = weight > 0
    scene = render_scene(
        points[there], weight[there], np.full(there.sum(), "I", object), shape=(size, size), pixel_size=pixel_size,
        counts_per_column=counts, probe_sigma_angstrom=0.45, background=0.05, rng=rng,
    )  # fmt: skip
    return scene, points[weight == faint] / pixel_size, points[~there] / pixel_size


@pytest.mark.parametrize("seed", [5, 6])
def test_faint_columns_among_bright_ones_are_found_and_empty_hexagons_stay_empty(model, seed):
    scene, faint, empty = filled_honeycomb(300, seed=seed)
    shape, reach = scene.image.shape, 0.3 * 2.27 / 0.17
    found = found_in(scene, model)
    faint = inner(faint, shape)
    assert len(match_positions(found, faint, tolerance=reach).pairs) > 0.93 * len(faint)
    assert len(match_positions(found, inner(empty, shape), tolerance=reach).pairs) == 0


def test_without_a_lattice_the_filter_is_not_asked(model, monkeypatch):
    from atomnb.locate import detect

    monkeypatch.setattr(detect, "wiener_filter", lambda image: pytest.fail("filtered an image without lattice"))
    scene, _ = honeycomb(60)
    detect_atoms(scene.image, model, Zoom(0.42, False, []))


@pytest.mark.parametrize("pixel_size", [0.05, 0.1, 0.22])
def test_zoom_brings_neighbours_into_the_range_of_the_model(model, pixel_size):
    scene, _ = honeycomb(800, pixel_size=pixel_size, size=round(30 / pixel_size))
    for known in (pixel_size, None):
        zoom = find_zoom(scene.image, model, pixel_size=known)
        assert zoom.is_lattice
        assert 5.0 < 1.42 / pixel_size * zoom.zoom < 12.0


def test_noise_has_no_lattice(model, rng):
    assert not find_zoom(rng.poisson(10, (256, 256)).astype(np.float32), model, pixel_size=0.1).is_lattice


def test_a_hole_in_the_middle_does_not_hide_the_lattice(model):
    scene, _ = honeycomb(1000, size=640)
    image = scene.image.copy()
    y, x = np.indices(image.shape)
    hole = np.hypot(y - 320, x - 320) < 230
    image[hole] = np.random.default_rng(1).poisson(0.4, hole.sum())
    assert find_zoom(image, model, pixel_size=scene.pixel_size).is_lattice
