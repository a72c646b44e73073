"""How a structure is announced: its options with their ranges, and the check of what a user sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from atomnb.simulate.structures.base import Defect, StructureError

if TYPE_CHECKING:
    from ase import Atoms

    from atomnb.simulate.structures.lattice import Lattice


class Option(NamedTuple):
    """One thing to choose.

    default : its type (bool, int, float, str) is the type of the option
    summary : one line for the user, with the unit
    choices : allowed values; empty means any in [low, high]
    """

    name: str
    default: bool | int | float | str
    summary: str
    choices: tuple = ()
    low: float | None = None
    high: float | None = None


class Draft(NamedTuple):
    """What a builder hands back: atoms in their box, the defects put in, and the lattices of their hosts."""

    atoms: Atoms
    defects: tuple[Defect, ...] = ()
    lattices: tuple[Lattice, ...] = ()


Builder = Callable[[tuple[float, float], np.random.Generator, dict], Draft]
"""builder(size_angstrom (y, x), rng, options) -> Draft"""


class StructureKind(NamedTuple):
    """A structure that `create_structure` can build.

    settings : the options one may set; `options` gives their defaults
    """

    name: str
    family: str
    summary: str
    builder: Builder
    settings: tuple[Option, ...] = ()

    @property
    def options(self) -> dict[str, bool | int | float | str]:
        """Default of each option."""
        return {option.name: option.default for option in self.settings}


def with_defaults(settings: tuple[Option, ...], *, values: dict) -> tuple[Option, ...]:
    """The same options with other defaults."""
    return tuple(option._replace(default=values.get(option.name, option.default)) for option in settings)


def resolve_options(kind: StructureKind, chosen: dict | None) -> dict:
    """The kind's defaults with what was chosen in their place.

    Raises
    ------
    StructureError
        If an option is unknown, of another type, or outside its range.
    """
    known = {option.name: option for option in kind.settings}
    unknown = sorted(set(chosen or {}) - set(known))
    if unknown:
        raise StructureError(
            f"{kind.name} has no option {', '.join(map(repr, unknown))}; it has: {', '.join(known) or 'none'}."
        )
    return {name: _checked(kind, option, (chosen or {}).get(name, option.default)) for name, option in known.items()}


def _checked(kind: StructureKind, option: Option, value):
    """The value as the option's type, or an error that says what is expected."""
    wanted = type(option.default)
    where = f"option {option.name!r} of {kind.name} ({option.summary})"
    fits = isinstance(value, (bool, np.bool_)) == (wanted is bool)
    try:
        converted = wanted(value) if fits else None
    except (TypeError, ValueError):
        converted = None
    if converted is None or (wanted is not float and converted != value):
        raise StructureError(f"{where} must be of type {wanted.__name__}, got {value!r}.")
    if option.choices and converted not in option.choices:
        raise StructureError(f"{where} must be one of {', '.join(map(str, option.choices))}, got {value!r}.")
    if wanted in (int, float) and not _within(converted, option):
        raise StructureError(f"{where} must lie between {option.low} and {option.high}, got {value!r}.")
    return converted


def _within(value: float, option: Option) -> bool:
    low = -np.inf if option.low is None else option.low
    high = np.inf if option.high is None else option.high
    return bool(np.isfinite(value) and low <= value <= high)
