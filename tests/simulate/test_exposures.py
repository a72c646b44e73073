"""Exposures: truth follows every distortion, doses are those asked for, and what does not fit is refused."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from atomnb.errors import AtomnbError
from atomnb.simulate.class_schemes import SCHEMES, scheme_by_content
from atomnb.simulate.exposures import ExposureConfig, label_scene, make_exposures
from atomnb.simulate.ideal import ideal_from_multislice, ideal_image, structure_group
from atomnb.simulate.scene import sample_scene

PERIOD = (21.0, 20.0)
SPACING = 3.0
CONTENT = SCHEMES["columns"]

STILL = ExposureConfig(
    shape=(128, 160),
    pixel_size=(0.15, 0.15),
    dose=(1e6, 1e6),
    rotation_rad=(0, 0),
    background=(0, 0),
    row_jitter_px=(0, 0),
    drift_px=(0, 0),
    flyback_px=(0, 0),
    source_sigma_angstrom=(0, 0),
    afterglow=(0, 0),
    readout_noise=(0, 0),
    offset=(0, 0),
    clipped_low=(0, 0),
    clipped_high=(0, 0),
    gamma=(1, 1),
)
"""A perfect microscope."""


def crystal(seed=0, *, periodic=True, defects=(), period=PERIOD):
    """A strained square lattice of Au with a few Ag in a box, as far as exposures need a Structure."""
    rng = np.random.default_rng(seed)
    count = np.round(np.array(period) / SPACING).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in count), indexing="ij"), -1).reshape(-1, 2)
    yx = (grid * period + rng.uniform(-0.2, 0.2, (len(grid), 2))) % period
    content = np.where(rng.random(len(yx)) < 0.3, "Ag", "Au")
    return SimpleNamespace(
        name="crystal",
        size_angstrom=period,
        atoms=SimpleNamespace(pbc=np.array([periodic, periodic, False])),
        defects=defects,
        provenance={"name": "crystal", "seed": seed, "versions": {"atomnb": "x"}},
        lattices=(),
        columns=lambda: SimpleNamespace(positions_yx=yx, content=content),
    )


def render(structure, shape, pixel_size, sigma=0.42):
    """Gaussians of the structure's columns, repeated beyond its box."""
    period = np.array(structure.size_angstrom)
    image = np.zeros(shape)
    for cell in np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2):
        for y, x in structure.columns().positions_yx + cell * period:
            rows = np.exp(-(((np.arange(shape[0]) * pixel_size - y) / sigma) ** 2) / 2)
            image += np.outer(rows, np.exp(-(((np.arange(shape[1]) * pixel_size - x) / sigma) ** 2) / 2))
    return 0.05 * image


def ideal(structure=None, *, scheme=CONTENT, pixel_size=0.1, **changes):
    structure = structure or crystal()
    shape = tuple(int(n / pixel_size + 1e-6) for n in structure.size_angstrom)
    return ideal_image(render(structure, shape, pixel_size), structure, pixel_size=pixel_size, scheme=scheme, **changes)


def measured(scene, radius=6):
    """Centroids of the image around the true positions that lie well inside, and those positions."""
    margin = radius + 3
    inner = ((scene.positions_yx > margin) & (scene.positions_yx < np.array(scene.image.shape) - margin)).all(axis=1)
    true = scene.positions_yx[inner]
    offset = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    found = true.copy()
    for _ in range(10):
        at = found[:, None] + offset
        value = ndimage.map_coordinates(scene.image, np.moveaxis(at, -1, 0), order=1)
        weight = value * np.exp(-0.5 * ((at - found[:, None]) ** 2).sum(-1) / 3.0**2)
        found = found + 2 * ((weight[..., None] * at).sum(1) / weight.sum(1)[:, None] - found)
    return found, true


def offsets(config, structure=None, n=3, seed=1):
    """Differences (M, 2) between where columns are seen and where the truth has them, px."""
    parts = [np.subtract(*measured(scene)) for scene in make_exposures(ideal(structure), n, config=config, seed=seed)]
    return np.concatenate(parts)


DISTORTIONS = {
    "still": {},
    "other pixels": {"pixel_size": (0.13, 0.2)},
    "turned": {"rotation_rad": (0.3, 6.0)},
    "drifting": {"drift_px": (8.0, 8.0)},
    "flyback": {"flyback_px": (6.0, 6.0), "flyback_decay_px": (12.0, 20.0)},
    "blurred": {"source_sigma_angstrom": (0.3, 0.3)},
    "afterglow": {"afterglow": (0.4, 0.4)},
    "clipped": {"clipped_low": (0.1, 0.1), "clipped_high": (0.01, 0.01)},
    "gamma": {"gamma": (0.8, 1.3)},
    "all": {"rotation_rad": (0.3, 6.0), "drift_px": (4.0, 6.0), "flyback_px": (2.0, 3.0), "afterglow": (0.2, 0.3)},
}


@pytest.mark.parametrize("name", DISTORTIONS)
def test_truth_moves_with_the_distortion(name):
    found = offsets(replace(STILL, **DISTORTIONS[name]))
    assert len(found) > 60
    assert np.abs(found.mean(axis=0)).max() < 0.05  # a peak with an afterglow leans: its centroid is not its middle
    assert np.sqrt((found**2).mean()) < 0.08


def test_the_check_above_can_fail():
    """Without the truth's share of it, the same drift would be seen."""
    moved = next(make_exposures(ideal(), 1, config=replace(STILL, drift_px=(8.0, 8.0)), seed=1))
    still = next(make_exposures(ideal(), 1, config=STILL, seed=1))
    distance, _ = cKDTree(still.positions_yx).query(moved.positions_yx)
    assert np.median(distance) > 0.5


def test_columns_feel_the_mean_jitter_of_their_rows():
    found = offsets(replace(STILL, row_jitter_px=(1.0, 1.0)))
    assert np.sqrt((found**2).mean()) < 0.25
    felt = 1.0 / np.sqrt(2 * np.sqrt(np.pi) * 0.42 / 0.15)
    assert np.sqrt((found[:, 1] ** 2).mean()) < 0.6 * felt


def test_electrons_are_those_asked_for():
    scenes = make_exposures(ideal(), 20, config=replace(STILL, dose=(300, 300), rotation_rad=(0, 6)))
    per_column = [s.image.sum() / (np.prod(STILL.shape) * 0.15**2 / SPACING**2) for s in scenes]
    assert np.mean(per_column) == pytest.approx(300 * SPACING**2 / (np.prod(PERIOD) / 49), rel=0.02)


def test_dose_per_area_counts_the_beam():
    config = replace(STILL, dose=(1000, 1000), dose_unit="electrons_per_angstrom2")
    source = ideal()
    scenes = make_exposures(source, 10, config=config)
    mean = np.mean([s.image.mean() for s in scenes])
    assert mean == pytest.approx(1000 * 0.15**2 * source.image.mean(), rel=0.03)


def test_noise_is_that_of_counting():
    source = ideal()
    config = replace(STILL, dose=(200, 200))
    one, two = (next(make_exposures(source, 1, config=config, seed=s)) for s in (1, 2))
    assert one.image.max() > 3
    np.testing.assert_allclose(one.image, np.round(one.image), atol=1e-3)
    assert not np.array_equal(one.image, two.image)
    assert one.image.var() > one.image.mean()


def test_exposure_number_i_is_always_the_same():
    few, many = list(make_exposures(ideal(), 2, seed=5)), list(make_exposures(ideal(), 4, seed=5))
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.positions_yx, b.positions_yx)
    assert not np.array_equal(many[0].image, many[3].image)
    json.dumps(dict(many[0].details))


def test_class_maps_and_species_belong_to_the_positions():
    structure = crystal()
    scheme = scheme_by_content(["Ag", "Au"])
    for scene in make_exposures(ideal(structure, scheme=scheme), 3):
        assert set(scene.species) == {"Ag", "Au"}
        named = np.array(["Ag", "Au"], object)[scene.column_class - 1]
        np.testing.assert_array_equal(named, scene.species)
        at = np.clip(np.round(scene.positions_yx).astype(int), 0, np.array(scene.image.shape) - 1)
        np.testing.assert_array_equal(scene.class_map[at[:, 0], at[:, 1]], scene.column_class)


def test_vacancies_are_in_the_truth_and_share_no_dose():
    hole = SimpleNamespace(kind="vacancy", name="V_Au", yx_angstrom=(1.5, 1.5))
    scheme = scheme_by_content(["Ag", "Au"], vacancies=True)
    source = ideal(crystal(defects=(hole,)), scheme=scheme)
    assert source.n_columns == 49
    scene = next(make_exposures(source, 1, config=STILL))
    empty = scene.positions_yx[scene.species == "V_Au"]
    assert len(empty) >= 1
    assert (scene.column_class[scene.species == "V_Au"] == 3).all()
    value = ndimage.map_coordinates(scene.image, empty.T, order=1)
    assert (value < 0.3 * np.percentile(scene.image, 95)).all()


def test_an_image_whose_pixels_do_not_divide_the_cell_is_closed_smoothly():
    structure = crystal(period=(21.06, 20.04))
    source = ideal(structure)
    np.testing.assert_allclose(np.array(source.image.shape), [211, 201])
    step = np.array(structure.size_angstrom) / source.image.shape
    exact = 0
    for cell in np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2):
        for y, x in structure.columns().positions_yx + cell * np.array(structure.size_angstrom):
            axis = [np.arange(n) * s for n, s in zip(source.image.shape, step, strict=True)]
            exact = exact + np.outer(*(np.exp(-(((a - c) / 0.42) ** 2) / 2) for a, c in zip(axis, (y, x), strict=True)))
    assert np.abs(source.image - 0.05 * exact).max() < 1e-3 * source.image.max()


def test_a_sample_that_does_not_repeat_is_never_left():
    small = replace(STILL, shape=(64, 64), rotation_rad=(0, 6))
    source = ideal(crystal(periodic=False))
    for scene in make_exposures(source, 5, config=small):
        assert len(scene.positions_yx) > 5
    with pytest.raises(AtomnbError, match=r"needs .* does not repeat"):
        next(make_exposures(source, 1, config=STILL))


def test_dark_field_and_bright_field_are_told_apart():
    structure = crystal()
    image = render(structure, (210, 200), 0.1)
    images = SimpleNamespace(images={"haadf": image, "abf": image.max() - image}, pixel_size=0.1)
    dark = ideal_from_multislice(images, structure, scheme=CONTENT, detector="abf")
    assert dark.dark and next(make_exposures(dark, 1)).details["dark_atoms"]
    assert not ideal_from_multislice(images, structure, scheme=CONTENT).dark
    with pytest.raises(AtomnbError, match="not simulated"):
        ideal_from_multislice(images, structure, scheme=CONTENT, detector="bf")


def test_groups_are_the_structures():
    assert structure_group(crystal(1)) != structure_group(crystal(2))
    newer = crystal(1)
    newer.provenance = {**newer.provenance, "versions": {"atomnb": "y"}}
    assert structure_group(newer) == structure_group(crystal(1))


def test_a_fast_scene_is_an_exposure_already():
    scene = sample_scene("mos2")
    labelled = label_scene(scene, scheme=SCHEMES["tmd"], group="mos2-7")
    assert labelled.image is scene.image or np.array_equal(labelled.image, scene.image)
    names = np.array(SCHEMES["tmd"].classes)[labelled.column_class - 1]
    assert set(names[scene.species == "S"]) == {"single chalcogen"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dose": (0, 10)}, "dose must be a range .* positive"),
        ({"pixel_size": (0.2, 0.1)}, "low ≤ high"),
        ({"drift_px": (-1, 1)}, "not negative"),
        ({"gamma": 1.0}, "must be a range"),
        ({"clipped_low": (0, 0.7)}, "below 0.5"),
        ({"dose_unit": "photons"}, "dose_unit must be one of"),
        ({"shape": (4, 4)}, "at least 16 px"),
    ],
)
def test_configs_that_make_no_sense(changes, says):
    with pytest.raises(AtomnbError, match=says):
        ExposureConfig(**changes)


def test_images_that_are_none():
    structure = crystal()
    with pytest.raises(AtomnbError, match="not negative"):
        ideal_image(np.full((210, 200), -1.0), structure, pixel_size=0.1, scheme=CONTENT)
    with pytest.raises(AtomnbError, match="must be an image of that cell"):
        ideal_image(np.ones((100, 100)), structure, pixel_size=0.1, scheme=CONTENT)
    counts = ideal_image(500 * render(structure, (210, 200), 0.1), structure, pixel_size=0.1, scheme=CONTENT)
    with pytest.raises(AtomnbError, match="shares of the beam"):
        next(make_exposures(counts, 1, config=replace(STILL, dose_unit="electrons_per_angstrom2")))
