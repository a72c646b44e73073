"""Class averages: true shape, honest errors, sharp pictures, whatever way the defects lay."""

import time
from dataclasses import replace

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.averages import average_class
from atomnb.graph.geometry import bond_lengths
from atomnb.graph.matching import Placement, best_placement
from atomnb.graph.record import DefectRecord

PIXEL = 0.2
SHAPE = np.array([[0, 0], [0.1, 1.75], [1.6, -0.8], [-1.5, -1.0], [0.4, 3.1], [2.9, -1.5]])
SPECIES = ("Si", "C", "C", "C", "C", "C")
PAIRS = [[0, 1], [0, 2], [0, 3], [1, 4], [2, 5]]
BRIGHT = np.array([3.0, 1, 1, 1, 1, 1])


def picture(yx, rng, noise):
    grid = PIXEL * np.stack(np.meshgrid(np.arange(64), np.arange(64), indexing="ij"), -1)
    square = ((grid[:, :, None] - yx) ** 2).sum(axis=3)
    clean = (BRIGHT[: len(yx)] * np.exp(-square / (2 * 0.45**2))).sum(axis=2)
    return 40 * clean + 100 + noise * rng.normal(size=clean.shape)


def seen(rng, *, error=0.05, noise=8.0, mirrored=False, surplus=False):
    placement = Placement(rng.uniform(-np.pi, np.pi), mirrored, 6.3 + rng.uniform(-0.5, 0.5, 2))
    true = placement.apply(SHAPE)
    order = rng.permutation(len(true))
    back = np.argsort(order)
    return DefectRecord(
        patch=picture(true, rng, noise),
        positions_yx=(true + rng.normal(0, error, true.shape))[order],
        species=[SPECIES[k] for k in order],
        pairs=back[np.array(PAIRS)],
        formula="Si1C3",
        topology="a1c2",
        pixel_size=PIXEL,
        counted=np.isin(order, [0, 1, 2, 3]),
    )


def test_the_mean_shape_is_true_to_its_stated_errors():
    rng = np.random.default_rng(1)
    pulls, spreads = [], []
    for _ in range(12):
        average = average_class([seen(rng) for _ in range(40)])
        assert len(average.used) == 40
        order = [int(np.argmin(np.hypot(*(SHAPE - p).T))) for p in Placed(average).onto(SHAPE)]
        pairs = np.array(order)[average.pairs]
        truth = bond_lengths(SHAPE, pairs).value
        pulls.append((average.bonds["length"] - truth) / average.bonds["error"])
        spreads.append(average.spread_yx)
        assert len(average.pairs) == len(PAIRS)
        assert average.bonds["error"].max() < 0.05 * 2**0.5 / 40**0.5 * 1.5
    pulls = np.concatenate(pulls)
    assert 0.58 < np.mean(np.abs(pulls) < 1) < 0.78
    assert np.mean(spreads) == pytest.approx(0.05, rel=0.1)


class Placed:
    """An average laid on the true shape."""

    def __init__(self, average):
        self.average = average

    def onto(self, shape):
        from atomnb.graph.matching import match_structures

        match = match_structures(self.average.positions_yx, self.average.species, shape, SPECIES, mirror=False)
        return match.placement.apply(self.average.positions_yx)


def test_the_picture_is_sharp_and_its_noise_falls(rng):
    few, many = ([seen(rng, error=0.02) for _ in range(n)] for n in (4, 64))
    small, large = average_class(few), average_class(many)
    middle = (large.image.shape[0] - 1) // 2
    inner = (slice(middle - 8, middle + 9),) * 2
    assert np.nanmedian(small.image_err[inner]) > 2.5 * np.nanmedian(large.image_err[inner])
    assert (large.count[inner] == 64).all()
    at = np.round(large.positions_yx / large.pixel_size).astype(int)
    silicon = large.species.index("Si")
    assert large.image[tuple(at[silicon])] == np.nanmax(large.image)
    truth = picture(large.positions_yx[[silicon, *np.flatnonzero(np.array(large.species) == "C")]], rng, 0.0)
    n = min(len(truth), len(large.image))
    both = np.stack([truth[:n, :n].ravel(), large.image[:n, :n].ravel()])
    assert np.corrcoef(both[:, np.isfinite(both[1])])[0, 1] > 0.99


def test_mirror_images_are_joined_only_if_wanted(rng):
    records = [replace(seen(rng, error=0.01, mirrored=bool(k % 2)), counted=None) for k in range(10)]
    joined = average_class(records, mirror=True, tolerance=0.15)
    assert len(joined.used) == 10
    assert {p.mirrored for p in joined.placements} == {False, True}
    apart = average_class(records, mirror=False, tolerance=0.15)
    assert apart.used.tolist() == [0, 2, 4, 6, 8]
    assert np.nanmax(joined.spread_yx) < 0.03


def test_the_first_record_gives_orientation_and_middle(rng):
    records = [seen(rng, error=0.01) for _ in range(6)]
    average = average_class(records)
    first = records[0]
    moved = best_placement(
        average.positions_yx, first.positions_yx[[int(np.flatnonzero(np.all(np.abs(
            average.placements[0].apply(first.positions_yx) - p) < 0.1, axis=1))[0]) for p in average.positions_yx]]
    )  # fmt: skip
    assert abs(moved.angle_rad) < 0.02
    counted = np.array([np.min(np.hypot(*(average.placements[0].apply(first.positions_yx[first.counted]) - p).T)) < 0.1
                        for p in average.positions_yx])  # fmt: skip
    middle = (average.image.shape[0] - 1) / 2 * average.pixel_size
    np.testing.assert_allclose(average.positions_yx[counted].mean(axis=0), middle, atol=0.02)


def test_one_record_has_no_errors(rng):
    average = average_class([seen(rng)])
    assert np.isnan(average.errors_yx).all() and np.isnan(average.image_err).all()
    assert np.isnan(average.bonds["error"]).all() and (average.bonds["number"] == 1).all()


def test_an_atom_that_most_lack_is_left_out(rng):
    records = [seen(rng, error=0.01) for _ in range(5)]
    first = records[0]
    records[0] = replace(
        first,
        positions_yx=np.vstack([first.positions_yx, [[1.0, 1.0]]]),
        species=(*first.species, "C"),
        errors_yx=None,
        counted=[*first.counted, False],
    )
    assert len(average_class(records).species) == 6


def boundary(rng, *, turn, units=100, counted_units=None):
    """A chain of squares that share corners, as along a twin line 4|4P, in a strip of crystal."""
    motif = np.array([[0, 0], [1.3, 1.6], [-1.3, 1.6], [2.9, 1.6], [-2.9, 1.6]])
    yx = (motif + 3.2 * np.arange(units)[:, None, None] * [0, 1]).reshape(-1, 2)
    chain = np.tile([True, True, True, False, False], units)
    if counted_units is not None:
        chain &= np.abs(np.repeat(np.arange(units), 5) - units // 2) < counted_units
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    yx = (yx @ rotation.T) + rng.normal(0, 0.03, yx.shape)
    species = np.tile(["S", "Mo", "Mo", "S", "S"], units)
    return DefectRecord(np.zeros((8, 8)), yx, species, np.zeros((0, 2), int), "Mo200S100", 0.5, counted=chain)


def test_a_long_boundary_is_refused_at_once_and_its_repeat_unit_averaged(rng):
    long = [boundary(rng, turn=turn) for turn in (0.0, 0.7)]
    begun = time.perf_counter()
    with pytest.raises(AtomnbError, match=r"500 atoms .* too large to average.*`counted` mark one repeat unit"):
        average_class(long, mirror=True)
    assert time.perf_counter() - begun < 2
    units = [boundary(rng, turn=turn, units=20, counted_units=1) for turn in (0.0, 0.7, 2.0)]
    assert average_class(units).used.tolist() == [0, 1, 2]


def test_what_cannot_be_averaged_is_told(rng):
    with pytest.raises(AtomnbError, match="no records"):
        average_class([])
    with pytest.raises(AtomnbError, match="different formulas"):
        average_class([seen(rng), replace(seen(rng), formula="Si2C5")])
