"""Single scenes: image, positions, species and class map agree."""

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.simulate.scene import SAMPLE_SCENES, render_scene, sample_scene


@pytest.mark.parametrize("name", sorted(SAMPLE_SCENES))
def test_samples_are_reproducible_and_agree_with_their_truth(name):
    scene, again = sample_scene(name), sample_scene(name)
    np.testing.assert_array_equal(scene.image, again.image)
    assert len(scene.species) == len(scene.positions_yx) > 300
    names = np.unique(scene.species.astype(str))
    index = np.round(scene.positions_yx).astype(int)
    np.testing.assert_array_equal(
        scene.class_map[index[:, 0], index[:, 1]], 1 + np.searchsorted(names, scene.species.astype(str))
    )
    assert scene.class_map.shape == scene.image.shape


def test_counts_per_column_are_those_asked_for(rng):
    grid = np.stack(np.meshgrid(*[np.arange(3.0, 60, 6.0)] * 2, indexing="ij"), -1).reshape(-1, 2)
    species = np.full(len(grid), "Au", object)
    scene = render_scene(
        grid,
        np.ones(len(grid)),
        species,
        shape=(256, 256),
        pixel_size=0.25,
        counts_per_column=500,
        background=0.0,
        rng=rng,
    )
    assert scene.image.sum() / len(scene.species) == pytest.approx(500, rel=0.03)


def test_dark_atoms_are_darker_than_their_surroundings(rng):
    grid = np.stack(np.meshgrid(*[np.arange(3.0, 60, 4.0)] * 2, indexing="ij"), -1).reshape(-1, 2)
    scene = render_scene(
        grid, np.ones(len(grid)), np.full(len(grid), "O", object), shape=(256, 256), pixel_size=0.25,
        counts_per_column=2000, dark=True, rng=rng,
    )  # fmt: skip
    assert scene.image[scene.class_map > 0].mean() < 0.8 * scene.image[scene.class_map == 0].mean()


def test_unequal_lengths_are_refused(rng):
    with pytest.raises(AtomnbError, match="one entry per column"):
        render_scene(
            np.zeros((3, 2)),
            np.ones(2),
            np.array(["C"] * 3),
            shape=(32, 32),
            pixel_size=0.1,
            counts_per_column=1,
            rng=rng,
        )


def test_unknown_sample_lists_the_known_ones():
    with pytest.raises(AtomnbError, match="graphene-si"):
        sample_scene("diamond")


def test_the_sample_with_defects_has_those_it_tells_of():
    from atomnb import find_defects

    scene = sample_scene("graphene-defects")
    found = find_defects(scene.positions_yx, species=scene.species, rules="graphene", pixel_size=scene.pixel_size)
    assert sorted(found["name"]) == [
        "Si trimer",
        "Stone–Wales 55-77",
        "divacancy 5-8-5",
        "four-fold Si",
        "three-fold Si",
        "three-fold Si",
    ]
