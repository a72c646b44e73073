"""Layouts of one material: their geometry, their classes, their contrast."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomnb.simulate.batch import random_batch
from atomnb.simulate.layout import SceneConfig
from atomnb.simulate.materials import MATERIALS, draw_layout, graphene_si, label_names, tmd
from atomnb.simulate.materials.sheet import UNSEEN

NAMED = [name for name in MATERIALS if name]


def layouts(material, n=30, **changes):
    config = SceneConfig(material=material, typical_spacing=7.0, spacing=(5.0, 10.0), **changes)
    return [draw_layout(np.random.default_rng(seed), config) for seed in range(n)]


@pytest.mark.parametrize("material", NAMED)
def test_every_class_is_drawn_and_no_other(material):
    drawn = np.unique(np.concatenate([x.label for x in layouts(material)]))
    assert set(drawn) - {UNSEEN} == set(range(len(MATERIALS[material].labels)))


@pytest.mark.parametrize("material", NAMED)
def test_labelled_atoms_keep_their_distance(material):
    """Columns nearer than 0.55 of the nominal spacing would be one column."""
    for layout in layouts(material):
        points = layout.positions_yx[layout.label >= 0]
        if len(points) > 1:
            distance = cKDTree(points).query(points, k=2)[0][:, 1]
            assert np.quantile(distance, 0.02) > 0.55 * layout.spacing


def test_silicon_sits_at_its_bond_length():
    """Si–C in projection is 1.6 to 2.1 Å where C–C is 1.42 Å."""
    ratio = []
    for layout in layouts("graphene-si", 60):
        carbon = layout.positions_yx[layout.label == graphene_si.C]
        silicon = layout.positions_yx[layout.label == graphene_si.SI]
        inner = np.abs(silicon).max(axis=1, initial=0) < 50
        if len(carbon) > 100 and inner.any():
            ratio.extend(cKDTree(carbon).query(silicon[inner], k=1)[0] / layout.spacing)
    assert 1.6 / 1.42 < np.median(ratio) < 2.1 / 1.42


def test_one_chalcogen_scatters_a_little_less_than_half_of_two():
    ratio = []
    for layout in layouts("tmd"):
        pair, single = (layout.amplitude[layout.label == k] for k in (tmd.PAIR, tmd.SINGLE))
        if len(pair) > 5 and len(single) > 5:
            ratio.append(np.median(single) / np.median(pair))
    assert len(ratio) > 10
    assert np.median(ratio) == pytest.approx(0.415, abs=0.04)


def test_dumbbells_have_three_more_neighbours_at_the_right_distance():
    """[110] diamond: the nearest column at a/4, the next ones at 0.433 a, 1.732 times as far."""
    first, second = [], []
    for layout in layouts("dumbbell", 20):
        inner = np.abs(layout.positions_yx).max(axis=1) < 45
        if (layout.label == UNSEEN).any() or not inner.any():
            continue
        distance = cKDTree(layout.positions_yx).query(layout.positions_yx[inner], k=4)[0][:, 1:]
        first.append(np.median(distance[:, 0]) / layout.spacing)
        second.append(np.median(distance[:, 1]) / layout.spacing)
    assert np.median(first) == pytest.approx(1.0, abs=0.03)
    assert np.median(second) == pytest.approx(3**0.5, abs=0.06)


def test_an_empty_site_is_labelled_where_nothing_is():
    config = SceneConfig(material="tmd", counts_per_column=(9000.0, 9001.0), resample=(1.0, 1.001))
    vacancy = label_names(config).index("vacancy")
    batch = random_batch(np.random.default_rng(4), 16, config)
    assert (batch.labels[:, vacancy] > 0.9).sum() > 5
    assert float(batch.labels.sum(dim=1).max()) < 1.4


def test_contamination_is_background():
    dirty = [x for x in layouts("graphene-si", 40) if (x.label == UNSEEN).sum() > 30]
    assert dirty
    for layout in dirty:
        assert (layout.amplitude[layout.label == UNSEEN] > 0).all()
