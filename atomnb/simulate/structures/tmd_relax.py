"""How the atoms round a point defect of a dichalcogenide sheet make room or close up: a spring model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.network import Network, minimum_image, pairs_within, relax
from atomnb.simulate.structures.tmd_defects import ANTISITE_BOND, Edited, Model

BOND_STRENGTH, CONTACT_STRENGTH, LIKE_STRENGTH, COLUMN_STRENGTH = 8.0, 16.0, 2.0, 1.0
"""eV/Å²: bonds; a chalcogen on a metal site and what is round it; other atoms of one kind beside each other; the two
chalcogens of a column."""

CLOSING, OPENING = 0.965, 1.05
"""Natural distance of metals that lost a chalcogen between them, and of chalcogens that lost a metal, in shares of the
sheet's own: tuned to what density-functional theory and the neural potential CHGNet 0.3 find, metals 0.05 to 0.12 Å
nearer to each other, chalcogens 0.1 Å farther apart."""

PAIR_BOND, PAIR_GAP = 1.10, 1.18
"""Distance of a chalcogen on a metal site to the chalcogens round it, and to the other one that stands there, in sums
of covalent radii, as CHGNet has it in MoS2."""

TOUCHING, ROUNDS = 0.92, 5
"""Share of the sum of covalent radii below which two atoms are pushed apart, and how often this is looked at: where
defects stand side by side."""

REACH = 7.0
"""Å from a defect, in projection, within which atoms may move."""


class Springs(NamedTuple):
    """Pairs (M, 2), natural lengths (M,) Å and stiffness (M,) eV/Å²."""

    pairs: np.ndarray
    rest: np.ndarray
    strength: np.ndarray


def relaxed(perfect: Model, model: Model, edits: Sequence[Edited], lengths: np.ndarray) -> np.ndarray:
    """Positions (4 n, 3) Å of the edited sheet once its defects have drawn in or pushed away what is beside them.

    All springs are at rest in the perfect sheet, whatever its elements, so that only defects set atoms in motion.

    Parameters
    ----------
    perfect : Model
        The sheet before the edits.
    model : Model
        The sheet after them.
    edits : sequence of Edited
    lengths : (3,)
        Å, edges of the box; the sheet repeats along the first two.
    """
    box = np.array([lengths[0], lengths[1], np.inf])
    misplaced = _misplaced(model, edits)
    parts = _own(perfect, model, edits, misplaced, box), _of_misplaced(model, misplaced, box)
    springs = _joined(*parts)
    free, none = model.keep & _near(model, edits, box), np.zeros((0, 3), int)
    place = model.positions
    for _ in range(ROUNDS):
        place = relax(Network(place, box, *springs, none, np.zeros(0), none[:, :2]), free=free)
        touching = _touching(model, place, box, springs.pairs)
        if not len(touching.pairs):
            break
        springs = _joined(springs, touching)
    return place


def _joined(*parts: Springs) -> Springs:
    return Springs(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _touching(model: Model, place: np.ndarray, box: np.ndarray, joined: np.ndarray) -> Springs:
    """Springs that part the atoms, metals apart, that stand too near to each other and have no spring yet."""
    radius = {symbol: _radius(symbol) for symbol in set(model.symbols[model.keep].tolist())}
    radii = np.array([radius.get(symbol, 0.0) for symbol in model.symbols.tolist()])
    there = np.flatnonzero(model.keep)
    pairs = there[pairs_within(place[there], box, 2 * radii.max())]
    rest = radii[pairs].sum(axis=1)
    far = np.linalg.norm(minimum_image(place[pairs[:, 0]] - place[pairs[:, 1]], box), axis=1)
    n = len(place)
    new = ~np.isin(np.sort(pairs, axis=1) @ [n, 1], np.sort(joined, axis=1) @ [n, 1])
    metals = (model.symbols[pairs] == model.sheet.metal).all(axis=1)
    near = (far < TOUCHING * rest) & new & ~metals
    return Springs(pairs[near], rest[near], np.full(near.sum(), CONTACT_STRENGTH))


def _misplaced(model: Model, edits: Sequence[Edited]) -> np.ndarray:
    """Indices of metals on chalcogen sites and of chalcogens, two each, on metal sites."""
    atoms = [edit.atom for edit in edits if edit.kind == "antisite"]
    return np.array([*atoms, *(3 * model.n + atom for atom in atoms if atom < model.n)], int)


def _near(model: Model, edits: Sequence[Edited], box: np.ndarray) -> np.ndarray:
    """Mask (4 n,) of the atoms within REACH of a defect."""
    near = np.zeros(len(model.positions), bool)
    for edit in edits:
        gap = minimum_image(model.positions - model.positions[edit.atom], box)
        near |= np.hypot(gap[:, 0], gap[:, 1]) < REACH
    return near


def _own(perfect: Model, model: Model, edits: Sequence[Edited], misplaced: np.ndarray, box: np.ndarray) -> Springs:
    """Springs of the perfect sheet between atoms still in their places, of other length beside gaps and dopants."""
    n = model.n
    pairs = pairs_within(perfect.positions[: 3 * n], box, 1.1 * model.sheet.a)
    gap = minimum_image(perfect.positions[pairs[:, 0]] - perfect.positions[pairs[:, 1]], box)
    bonded = (pairs < n).sum(axis=1) == 1
    column = np.hypot(gap[:, 0], gap[:, 1]) < 0.1
    rest = np.linalg.norm(gap, axis=1) * np.where(column, 1, _beside_gaps(model, pairs, pairs[bonded], misplaced))
    rest += bonded * _growth(perfect, model, edits)[pairs].sum(axis=1)
    strength = np.select([bonded, column], [BOND_STRENGTH, COLUMN_STRENGTH], LIKE_STRENGTH)
    wrong = np.isin(np.arange(len(model.keep)), misplaced)
    left = (model.keep & ~wrong)[pairs].all(axis=1)
    beside = wrong[pairs].all(axis=1) & ~bonded & ~column  # without these, nothing would keep them apart at first
    paired = beside & (pairs < n).all(axis=1)
    kept = Springs(pairs[left | beside], rest[left | beside], strength[left | beside])
    return _joined(kept, Springs(pairs[paired] + 3 * n, rest[paired], strength[paired]))


def _beside_gaps(model: Model, pairs: np.ndarray, bonds: np.ndarray, misplaced: np.ndarray) -> np.ndarray:
    """Factor (M,) for pairs that lost a common neighbour; a column that a metal took is no gap."""
    factor, taken = np.ones(len(pairs)), set((misplaced % model.n).tolist())
    for atom in np.flatnonzero(~model.keep[: 3 * model.n]).tolist():
        if atom % model.n in taken:
            continue
        around = bonds[(bonds == atom).any(axis=1)]
        lost = np.isin(pairs, around[around != atom]).all(axis=1) & ((pairs < model.n).sum(axis=1) != 1)
        factor[lost] *= OPENING if atom < model.n else CLOSING
    return factor


def _growth(perfect: Model, model: Model, edits: Sequence[Edited]) -> np.ndarray:
    """By how much (4 n,) Å covalent radii make the bonds of a dopant on a chalcogen site longer."""
    growth = np.zeros(len(model.positions))
    for edit in edits:
        if edit.kind == "substitution" and edit.atom >= model.n:
            growth[edit.atom] = _radius(model.symbols[edit.atom]) - _radius(perfect.symbols[edit.atom])
    return growth


def _of_misplaced(model: Model, misplaced: np.ndarray, box: np.ndarray) -> Springs:
    """Springs of atoms on sites of the other kind: to the three nearest metals, or the three chalcogens on its side."""
    n, found = model.n, []
    for atom in misplaced.tolist():
        if atom >= 3 * n:
            found.append((atom, atom - 3 * n, PAIR_GAP * 2 * _radius(model.symbols[atom])))
        on_metal_site = atom < n or atom >= 3 * n
        block = 0 if not on_metal_site else 1 if atom < n else 2
        for other in _three_beside(model, atom, np.arange(block * n, (block + 1) * n), misplaced, box):
            sum_of_radii = _radius(model.symbols[atom]) + _radius(model.symbols[other])
            found.append((atom, other, PAIR_BOND * sum_of_radii if on_metal_site else ANTISITE_BOND))
    one, other, rest = np.array(found).reshape(-1, 3).T
    strength = np.where((one < n) | (one >= 3 * n), CONTACT_STRENGTH, BOND_STRENGTH)
    return Springs(np.column_stack([one, other]).astype(int), rest, strength)


def _three_beside(model: Model, atom: int, among: np.ndarray, misplaced: np.ndarray, box: np.ndarray) -> list[int]:
    """The sites next to an atom in projection, less those that are empty or wrongly filled."""
    gap = minimum_image(model.positions[among] - model.positions[atom], box)
    nearest = among[np.argsort(np.hypot(gap[:, 0], gap[:, 1]))[:3]]
    return nearest[model.keep[nearest] & ~np.isin(nearest, misplaced)].tolist()


def _radius(symbol: str) -> float:
    """Covalent radius, Å."""
    data = require("ase.data", extra="simulate")
    return float(data.covalent_radii[data.atomic_numbers[symbol]])
