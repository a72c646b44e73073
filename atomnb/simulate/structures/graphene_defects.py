"""Point defects of graphene: vacancies, the Stone–Wales rotation, and silicon in one to six missing carbons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.sheet import BondedSheet

SI_HEIGHT = 1.0
"""Height (Å) at which a buckled silicon starts before relaxation."""


def _defect(sheet: BondedSheet, kind: str, name: str, place: np.ndarray) -> Defect:
    x, y = np.mod(place[:2], sheet.lengths[:2])
    return Defect(kind, name, (float(y), float(x)))


def _chain(sheet: BondedSheet, start: int, length: int, rng: np.random.Generator) -> list[int]:
    """Atoms of a trans zigzag chain that begins at `start`, in a random direction."""
    chain = [start, int(rng.choice(sorted(sheet.neighbours[start])))]
    while len(chain) < length:
        back = sheet.offset(chain[-1], chain[-2])
        choices = sorted(sheet.neighbours[chain[-1]] - {chain[-2]})
        if len(chain) == 2:
            chain.append(int(rng.choice(choices)))
            continue
        before = sheet.offset(chain[-3], chain[-2])
        chain.append(max(choices, key=lambda j: float(before @ (sheet.offset(chain[-1], j) - back))))
    return chain


def _points(sheet: BondedSheet, atoms: list[int]) -> np.ndarray:
    """Positions (K, 3) of the atoms beside one another, even across the edge of the box."""
    first = sheet.positions[atoms[0]]
    return np.array([first + sheet.offset(atoms[0], atom) for atom in atoms])


def vacancy(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """One atom missing; two of its neighbours draw near each other (the 5-9 form)."""
    place = sheet.positions[atom].copy()
    left = sheet.remove(atom)
    i, j = rng.permutation(left)[:2].tolist()
    sheet.link(i, j, length=1.95, strength=8.0)
    return _defect(sheet, "vacancy", "V", place)


def divacancy(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Two neighbours missing; the four around them close to two pentagons beside an octagon (5-8-5)."""
    pair = _chain(sheet, atom, 2, rng)
    place = _points(sheet, pair).mean(axis=0)
    for one in pair:
        sheet.link(*[j for j in sheet.remove(one) if j not in pair])
    return _defect(sheet, "vacancy", "5-8-5", place)


def stone_wales(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """A bond turned by 90°: two pentagons and two heptagons."""
    a, b = _chain(sheet, atom, 2, rng)
    return _defect(sheet, "rotation", "Stone-Wales", rotate_bond(sheet, a, b))


def rotate_bond(sheet: BondedSheet, a: int, b: int) -> np.ndarray:
    """Turn the bond between two atoms by 90°; its middle (3,) Å."""
    along = sheet.offset(a, b)
    across = np.array([-along[1], along[0], 0.0])
    middle = sheet.positions[a] + along / 2

    def on_the_left(centre: int, other: int) -> int:
        return max(sheet.neighbours[centre] - {other}, key=lambda j: float(sheet.offset(centre, j) @ across))

    gained, lost = on_the_left(b, a), (sheet.neighbours[a] - {b, on_the_left(a, b)}).pop()
    sheet.unlink(b, gained)
    sheet.unlink(a, lost)
    sheet.link(a, gained)
    sheet.link(b, lost)
    sheet.positions[a], sheet.positions[b] = middle + across / 2, middle - across / 2
    return middle


def silicon_3(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Silicon in a single vacancy, three bonds, above the plane or below."""
    sheet.symbols[atom] = "Si"
    sheet.positions[atom, 2] += SI_HEIGHT * rng.choice([-1, 1])
    return _defect(sheet, "substitution", "SiC3", sheet.positions[atom])


def silicon_4(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Silicon in a double vacancy, four bonds, in the plane."""
    pair = _chain(sheet, atom, 2, rng)
    place = _points(sheet, pair).mean(axis=0)
    around = [j for one in pair for j in sheet.remove(one) if j not in pair]
    added = sheet.place("Si", place, ())
    for other in around:
        sheet.link(added, other, length=1.88, strength=15.0)
    sheet.flat.add(added)
    return _defect(sheet, "substitution", "SiC4", place)


def dimer_c4(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Two neighbours replaced by silicon, one above, one below the plane: Si2C4."""
    pair = _chain(sheet, atom, 2, rng)
    side = rng.choice([-1, 1])
    for one in pair:
        sheet.symbols[one] = "Si"
        sheet.positions[one, 2] += SI_HEIGHT * side
        side = -side
    return _defect(sheet, "substitution", "Si2C4", _points(sheet, pair).mean(axis=0))


def dimer_c5(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Two silicons in three missing carbons, one carbon bonded to both: Si2C5."""
    chain = _chain(sheet, atom, 3, rng)
    points = _points(sheet, chain)
    first, middle, last = ([j for j in sheet.remove(one) if j not in chain] for one in chain)
    one = sheet.place("Si", 0.8 * points[0] + 0.2 * points[1], (*first, *middle))
    two = sheet.place("Si", 0.8 * points[2] + 0.2 * points[1], (*last, *middle))
    return _silicons(sheet, [one, two], "Si2C5", rng, buckled=True)


def dimer_c6(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Two silicons in four missing carbons in a row, three carbons for each: Si2C6."""
    chain = _chain(sheet, atom, 4, rng)
    points = _points(sheet, chain)
    around = [[j for j in sheet.remove(one) if j not in chain] for one in chain]
    one = sheet.place("Si", points[:2].mean(axis=0), (*around[0], *around[1]))
    two = sheet.place("Si", points[2:].mean(axis=0), (*around[2], *around[3]))
    return _silicons(sheet, [one, two], "Si2C6", rng, buckled=False)


def trimer(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """Three silicons in a missing hexagon of carbon, two carbons for each, in the plane: Si3C6."""
    return _silicons(sheet, _triangle(sheet, atom, rng), "Si3C6", rng, buckled=False)


def tetramer(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> Defect:
    """The trimer with a fourth silicon on top of its middle: Si4C6."""
    base = _triangle(sheet, atom, rng)
    side = np.array([0, 0, rng.choice([-1, 1])])
    top = sheet.place("Si", _points(sheet, base).mean(axis=0) + 1.9 * side, base)
    return _silicons(sheet, [*base, top], "Si4C6", rng, buckled=False, flat=base)


def _triangle(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> list[int]:
    """Three silicons in place of a hexagon that holds `atom`."""
    ring = hexagon(sheet, atom, rng)
    points = _points(sheet, ring)
    centre = points.mean(axis=0)
    outer = [next(j for j in sheet.neighbours[one] if j not in ring) for one in ring]
    for one in ring:
        sheet.remove(one)
    out = []
    for k in (0, 2, 4):
        toward = points[[k, k + 1]].mean(axis=0) - centre
        place = centre + 1.33 * toward / np.linalg.norm(toward)
        out.append(sheet.place("Si", place, (outer[k], outer[k + 1])))
    return out


def hexagon(sheet: BondedSheet, atom: int, rng: np.random.Generator) -> list[int]:
    """Atoms of one of the hexagons that hold `atom`, in order round it."""
    ring = [atom, *rng.permutation(sorted(sheet.neighbours[atom]))[:2].tolist()]
    left = np.cross(sheet.offset(atom, ring[1]), sheet.offset(atom, ring[2]))[2] > 0
    path = [ring[2], atom, ring[1]] if left else [ring[1], atom, ring[2]]
    while len(path) < 6:
        last, before = path[-1], path[-2]
        across = np.cross([0, 0, -1], sheet.offset(last, before))
        path.append(max(sheet.neighbours[last] - {before}, key=lambda j: float(across @ sheet.offset(last, j))))
    return path


def _silicons(sheet, atoms, name, rng, *, buckled, flat=None) -> Defect:
    """Bond the silicons to one another and set them in the plane, or in turn above and below it."""
    for k, i in enumerate(atoms):
        for j in atoms[:k]:
            sheet.link(i, j)
    if buckled:
        side = rng.choice([-1, 1])
        for atom in atoms:
            sheet.positions[atom, 2] += SI_HEIGHT * side
            side = -side
    else:
        sheet.flat.update(atoms if flat is None else flat)
    return _defect(sheet, "substitution", name, _points(sheet, atoms).mean(axis=0))


DIMERS = {"Si2C4": dimer_c4, "Si2C5": dimer_c5, "Si2C6": dimer_c6}

MAKERS: dict[str, Callable[[BondedSheet, int, np.random.Generator], Defect]] = {
    "tetramers": tetramer,
    "trimers": trimer,
    "four_fold": silicon_4,
    "three_fold": silicon_3,
    "divacancies": divacancy,
    "stone_wales": stone_wales,
    "vacancies": vacancy,
}
"""The option that counts a defect -> what makes one at an atom of a perfect part of the sheet; large ones first."""
