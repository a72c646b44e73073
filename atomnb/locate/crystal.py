"""What crystal an image may show, by how many neighbours its atoms have, how far away, and which of them are brighter.

What is recognised are the crystals that a shipped model names the atoms of. The distance decides only where the
neighbours leave a choice: pixel sizes in files are off by up to 16 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from atomnb.data.atoms import AtomTable
from atomnb.locate.dumbbells import find_dumbbells
from atomnb.scale import measure_spacing

GRAPHENE_BOND = 1.42
"""Å; carbon–carbon distance in graphene."""

REACH = 1.25
"""Neighbours are atoms up to this many spacings apart: on a square net the next ones are at 1.41."""

LEAST_INNER = 20
"""Fewer atoms with all their neighbours in the image do not tell a crystal."""

MOST = 0.6
"""Share of the atoms that must have the neighbours of the crystal; defects and grain boundaries have others."""

MANY = 0.4
"""The same, where half of the columns are so faint that some are missed."""

OXYGEN = 5.0
"""Brightness of a cation column over one of oxygen, in a dark-field image; no alloy has kinds that differ as much."""

TWO_KIND_BONDS = (("h-BN", 1.45), ("MoS2 or WS2", 1.82), ("MoSe2 or WSe2", 1.90))
"""Å; neighbours in projection in honeycombs of two kinds of columns."""

TWO_KINDS = 1.2
"""Brightness of the one kind over the other from which on there are two; in real graphene with silicon up to 1.19, by
the tilt of the sample and the shape of the probe, in WSe2 1.23."""

TWO_KINDS_AT_LENGTH = 1.1
"""The same where bonds are too long for graphene (a WS2 image blurred by its drift has 1.14)."""

UNLIKE_DUMBBELL = 1.25
"""Brighter over fainter column of a dumbbell from which on they are taken for two elements."""

OUTLYING = 3.0
"""A brightness farther than this many median deviations from the median is brought back to there."""

ANGSTROM_APART = {
    "graphene": (1.2, 1.65),
    "h-BN": (1.2, 1.5),
    "dichalcogenide": (1.5, 2.2),
    "perovskite": (2.3, 3.3),
    "perovskite with oxygen": (1.7, 2.2),
    "dumbbells": (1.1, 1.9),
}
"""Distances of neighbours at which each crystal is looked for, a wrong pixel size allowed for."""


class Crystal(NamedTuple):
    """A crystal that an image looks like, and what names its atoms and defects.

    name : such as 'graphene'
    model : one of `atomnb.list_models()`
    rules : one of `atomnb.list_rules()`
    seen : what it was recognised by
    """

    name: str
    model: str
    rules: str
    seen: str

    def __str__(self) -> str:
        return f"the lattice looks like {self.name}: {self.seen}."


UNKNOWN = Crystal("", "universal", "generic", "")
"""What suits an image whose crystal is not recognised: it names nothing wrongly."""


class Surroundings(NamedTuple):
    """How the atoms of a lattice stand to each other.

    spacing : distance of neighbours, px
    inner : number of atoms that have all their neighbours in the image
    share : (8,) share of these with 0 to 7 neighbours, 7 standing for more
    alternation : brightness of the one over the other where two kinds of atoms alternate along the bonds, else about 1
    contrast : brighter over fainter atom, median over the bonds, noise included
    """

    spacing: float
    inner: int
    share: np.ndarray
    alternation: float
    contrast: float


def crystal_of(atoms: AtomTable) -> Crystal | None:
    """The crystal that the atoms of one frame look like, or None where it is no known one.

    Parameters
    ----------
    atoms : AtomTable with `intensity`, of a model that finds the atoms of any lattice
    """
    around = measure_surroundings(atoms.positions_yx, atoms.df.get("intensity"), atoms.shape)
    if around is None or around.inner < LEAST_INNER:
        return None
    length = None if atoms.pixel_size is None else around.spacing * atoms.pixel_size
    if around.share[3] > MOST:
        return _honeycomb(around, length)
    if around.share[4] > MOST and around.alternation > TWO_KINDS and _is_apart("perovskite", length):
        return Crystal("a perovskite along [001]", "perovskite", "perovskite", _seen("four of another kind", length))
    if around.share[4] > MANY and around.alternation > OXYGEN and _is_apart("perovskite with oxygen", length):
        seen = _seen("four far fainter columns", length)
        return Crystal("a perovskite along [001] with its oxygen", "perovskite", "perovskite", seen)
    if around.share[1] > MOST and _is_apart("dumbbells", length):
        return _dumbbells(atoms, around, length)
    return None


def _honeycomb(around: Surroundings, length: float | None) -> Crystal | None:
    long = length is not None and length > ANGSTROM_APART["graphene"][1]
    two = around.alternation > (TWO_KINDS_AT_LENGTH if long else TWO_KINDS)
    if not two and _is_apart("graphene", length):
        return Crystal("graphene", "graphene-si", "graphene", _seen("three of their own kind", length))
    if two and length is not None and _is_apart("h-BN", length):
        return Crystal("boron nitride", "universal", "hbn", _seen("three of another kind", length))
    if two and _is_apart("dichalcogenide", length):
        return Crystal("a dichalcogenide monolayer", "tmd", "tmd", _seen("three of another kind", length))
    return None


def _dumbbells(atoms: AtomTable, around: Surroundings, length: float | None) -> Crystal | None:
    pairs = find_dumbbells(atoms.positions_yx)
    if 2 * len(pairs.ends) < MOST * len(atoms):
        return None
    rules = "zincblende110" if around.contrast > UNLIKE_DUMBBELL else "diamond110"
    return Crystal(
        "a crystal of dumbbells along [110]",
        "dumbbell",
        rules,
        _seen("one other", length).replace("neighbours", "neighbour"),
    )


def _is_apart(name: str, length: float | None) -> bool:
    """Whether neighbours are as far apart as in this crystal, or the distance is not known."""
    shortest, longest = ANGSTROM_APART[name]
    return length is None or shortest < length < longest


def _seen(neighbours: str, length: float | None) -> str:
    far = "" if length is None else f", {length:.2f} Å away"
    return f"most atoms have {neighbours} as neighbours{far}"


def measure_surroundings(
    positions_yx: np.ndarray, intensity=None, shape: tuple[int, int] | None = None, *, spacing: float | None = None
) -> Surroundings | None:
    """How atoms stand to each other; None for fewer than two.

    Parameters
    ----------
    positions_yx : (N, 2), px
    intensity : (N,) brightness; without it no atom is brighter than another
    shape : (H, W) of the image; the smallest box round the atoms if None
    spacing : px, measured here if None
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    spacing = spacing or measure_spacing(yx)
    if spacing is None:
        return None
    tree = cKDTree(yx)
    number = tree.query_ball_point(yx, REACH * spacing, return_length=True) - 1
    low, high = (yx.min(axis=0), yx.max(axis=0)) if shape is None else (np.zeros(2), np.subtract(shape, 1.0))
    margin = REACH * spacing
    inner = ((yx > low + margin) & (yx < high - margin)).all(axis=1)
    share = np.bincount(np.minimum(number[inner], 7), minlength=8) / max(int(inner.sum()), 1)
    bonds = tree.query_pairs(REACH * spacing, output_type="ndarray")
    bright = np.ones(len(yx)) if intensity is None else np.asarray(intensity, float)
    return Surroundings(spacing, int(inner.sum()), share, _alternation(bonds, bright), _contrast(bonds, bright))


def _alternation(bonds: np.ndarray, bright: np.ndarray) -> float:
    """Brightness of one kind of atoms over that of the other, where brighter and fainter ones alternate; else about 1.

    Atoms two bonds apart are alike, atoms three bonds apart are not: the difference of the two covariances is free of
    noise, which does not know of bonds, and of a slow change of brightness.
    """
    level = np.log(np.where(bright > 0, bright, np.nan))
    level -= np.nanmedian(level) if np.isfinite(level).any() else 0.0
    bound = OUTLYING * np.nanmedian(np.abs(level)) if np.isfinite(level).any() else 0.0
    level = np.clip(np.nan_to_num(level), -bound, bound)  # a foreign atom is no kind
    n = len(bright)
    near = coo_array((np.ones(len(bonds)), bonds.T), (n, n)).tocsr()
    near = near + near.T
    two = ((near @ near) > 0).astype(float)
    two.setdiag(0)
    two = two - two.multiply(near)
    three = ((two @ near) > 0).astype(float)
    three = three - three.multiply(near) - three.multiply(two)
    three.setdiag(0)
    if not two.sum() or not three.sum():
        return 1.0
    alike, unlike = ((level @ (m @ level)) / m.sum() for m in (two, three))
    return float(np.exp(2 * np.sqrt(max(0.0, (alike - unlike) / 2))))


def _contrast(bonds: np.ndarray, bright: np.ndarray) -> float:
    """Brightness of the brighter over the fainter atom, median over the bonds (B, 2)."""
    ends = bright[bonds[(bright[bonds] > 0).all(axis=1)]]
    return float(np.median(ends.max(axis=1) / ends.min(axis=1))) if len(ends) else 1.0


def honeycomb_message(atoms: AtomTable, spacing: float | None) -> str | None:
    """A warning when the lattice is a honeycomb whose bonds are not as long as those of any that it may be.

    A honeycomb of equal atoms with bonds of 1.2 to 1.65 Å is graphene (1.42 Å); one of two kinds of columns is h-BN
    (1.45 Å) or, longer, a dichalcogenide. A pixel size that says otherwise by more than 3 % is wrong.

    Parameters
    ----------
    atoms : AtomTable of one frame
    spacing : distance of neighbours, px, or None
    """
    size = atoms.pixel_size
    if spacing is None or size is None or not 1.2 < spacing * size < 1.75:
        return None
    length = spacing * size
    off = length / GRAPHENE_BOND - 1
    around = measure_surroundings(atoms.positions_yx, atoms.df.get("intensity"), spacing=spacing)
    if around.share[3] < 0.5 or -0.03 < off < 0.05:
        return None
    if around.alternation > TWO_KINDS:
        choices = (
            f"if it is {name} ({bond} Å), calibrate with pixel_size={bond / spacing:.5g}"
            for name, bond in TWO_KIND_BONDS
        )
        return (
            f"the lattice is a honeycomb of two kinds of columns, but by the pixel size they are {length:.3f} Å apart: "
            f"{'; '.join(choices)}."
        )
    if length > ANGSTROM_APART["graphene"][1]:
        return None
    return (
        f"the lattice looks like graphene, but by the pixel size its bonds are {length:.3f} Å long, "
        f"{abs(off):.0%} {'more' if off > 0 else 'less'} than {GRAPHENE_BOND} Å: if it is graphene, calibrate with "
        f"pixel_size={GRAPHENE_BOND / spacing:.5g}."
    )
