"""Point defects of a dichalcogenide sheet, each made on one formula unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from atomnb.simulate.structures.tmd import Sheet

ANTISITE_BOND = 2.62
"""Metal–metal distance (Å) of a metal atom on a chalcogen site, between the M–X bond and that of the bulk metal."""

PAIR_GAP = 2.4
"""Distance (Å) of the two chalcogens that stand in place of a metal atom, before what is round them makes room."""


class Model(NamedTuple):
    """A sheet being edited.

    positions : (4 n, 3) Å: metals, upper, lower chalcogens of the n formula units, then a spare atom per metal
    symbols : (4 n,) str
    keep : (4 n,) bool, False where there is no atom; no spare is there at first
    """

    positions: np.ndarray
    symbols: np.ndarray
    keep: np.ndarray
    n: int
    sheet: Sheet
    options: dict

    def pair(self, unit: int, upper: bool) -> tuple[int, int]:
        """Indices of the unit's chalcogens, the chosen side first."""
        top, bottom = self.n + unit, 2 * self.n + unit
        return (top, bottom) if upper else (bottom, top)


class Edited(NamedTuple):
    """Kind and name of the defect made, and the atom whose place it has."""

    kind: str
    name: str
    atom: int


def single_vacancy(model: Model, unit: int, upper: bool) -> Edited:
    """V_X: one chalcogen of a column is gone."""
    one, _ = model.pair(unit, upper)
    model.keep[one] = False
    return Edited("vacancy", f"V_{model.symbols[one]}", one)


def double_vacancy(model: Model, unit: int, upper: bool) -> Edited:
    """V_X2: both chalcogens of a column are gone."""
    one, other = model.pair(unit, upper)
    model.keep[[one, other]] = False
    return Edited("vacancy", f"V_{model.symbols[one]}2", one)


def metal_vacancy(model: Model, unit: int, upper: bool) -> Edited:
    """V_M: a metal atom is gone."""
    model.keep[unit] = False
    return Edited("vacancy", f"V_{model.symbols[unit]}", unit)


def metal_on_chalcogen(model: Model, unit: int, upper: bool) -> Edited:
    """M_X: a metal atom on a single chalcogen site, as far from the metals beside it as metals stand."""
    one, other = model.pair(unit, upper)
    name = f"{model.sheet.metal}_{model.symbols[one]}"
    height = (ANTISITE_BOND**2 - model.sheet.a**2 / 3) ** 0.5
    middle = (model.positions[one, 2] + model.positions[other, 2]) / 2
    model.positions[one, 2] = middle + (height if upper else -height)
    model.symbols[one] = model.sheet.metal
    return Edited("antisite", name, one)


def metal_on_pair(model: Model, unit: int, upper: bool) -> Edited:
    """M_X2: a metal atom in place of both chalcogens of a column."""
    edited = metal_on_chalcogen(model, unit, upper)
    model.keep[model.pair(unit, upper)[1]] = False
    return edited._replace(name=edited.name + "2")


def pair_on_metal(model: Model, unit: int, upper: bool) -> Edited:
    """X2_M: two chalcogens in place of a metal atom, one above, one below the plane of the metals."""
    name = f"{model.sheet.chalcogen}2_{model.symbols[unit]}"
    spare = 3 * model.n + unit
    for atom, side in ((unit, 1), (spare, -1)):
        model.positions[atom, 2] += side * PAIR_GAP / 2
        model.symbols[atom] = model.sheet.chalcogen
    model.keep[spare] = True
    return Edited("antisite", name, unit)


def metal_dopant(model: Model, unit: int, upper: bool) -> Edited:
    """A foreign metal in place of a metal atom."""
    name = f"{model.options['metal_dopant']}_{model.symbols[unit]}"
    model.symbols[unit] = model.options["metal_dopant"]
    return Edited("substitution", name, unit)


def chalcogen_dopant(model: Model, unit: int, upper: bool) -> Edited:
    """A foreign element in place of a single chalcogen."""
    one, _ = model.pair(unit, upper)
    name = f"{model.options['chalcogen_dopant']}_{model.symbols[one]}"
    model.symbols[one] = model.options["chalcogen_dopant"]
    return Edited("substitution", name, one)


EDITS: dict[str, Callable[[Model, int, bool], Edited]] = {
    "v_x": single_vacancy,
    "v_x2": double_vacancy,
    "v_m": metal_vacancy,
    "m_x": metal_on_chalcogen,
    "m_x2": metal_on_pair,
    "x2_m": pair_on_metal,
    "metal_dopants": metal_dopant,
    "chalcogen_dopants": chalcogen_dopant,
}
"""The option that counts a defect -> what makes one; it gets the model, the formula unit and the side."""
