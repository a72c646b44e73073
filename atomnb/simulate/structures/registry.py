"""The structures one can ask for by name."""

from __future__ import annotations

import json

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures import (
    amorphous,
    diamond,
    diamond_faults,
    graphene,
    graphene_grains,
    hbn,
    metals,
    nanoparticle,
    perovskite,
    tmd,
    tmd_twins,
)
from atomnb.simulate.structures.base import Structure, StructureError, check_no_overlap, put_inside
from atomnb.simulate.structures.kinds import StructureKind, resolve_options

FAMILIES = (
    *(graphene, graphene_grains, hbn, tmd, tmd_twins, perovskite),
    *(diamond, diamond_faults, metals, nanoparticle, amorphous),
)

STRUCTURES: dict[str, StructureKind] = {kind.name: kind for family in FAMILIES for kind in family.KINDS}
"""Every structure by name, with its options."""

LARGEST_SIDE = 2000.0
"""Side (Å) beyond which a structure is refused: millions of atoms, more than multislice can take."""


def create_structure(
    name: str, *, size_angstrom: tuple[float, float] = (40.0, 40.0), seed: int = 0, options: dict | None = None
) -> Structure:
    """Build a structure by name.

    Parameters
    ----------
    name : one of STRUCTURES
    size_angstrom : (height y, width x) in Å; the cell is the smallest whole number of crystal cells not below it
    seed : the only source of chance: the same name, size, seed and options give the same atoms
    options : see `STRUCTURES[name].settings`; what is left out takes its default

    Returns
    -------
    Structure

    Raises
    ------
    StructureError
        If the name or an option is unknown, or the defects asked for do not fit.

    Examples
    --------
    >>> from atomnb.simulate.structures import create_structure
    >>> sheet = create_structure("mos2", size_angstrom=(30, 30), seed=1, options={"v_x": 2})
    >>> sorted(d.name for d in sheet.defects)
    ['V_S', 'V_S']
    """
    if name not in STRUCTURES:
        raise StructureError(f"there is no structure {name!r}; there are: {', '.join(sorted(STRUCTURES))}.")
    kind = STRUCTURES[name]
    size = checked_size(size_angstrom)
    chosen = resolve_options(kind, options)
    atoms, defects, lattices = kind.builder(size, np.random.default_rng(seed), chosen)
    put_inside(atoms)
    check_no_overlap(atoms, name=name)
    provenance = {
        "name": name,
        "size_angstrom": list(size),
        "seed": int(seed),
        "options": chosen,
        "versions": versions(),
    }
    told = json.loads(json.dumps(provenance))
    return Structure(atoms, name, kind.family, tuple(defects), told, lattices=lattices)


def checked_size(size_angstrom: tuple[float, float]) -> tuple[float, float]:
    """(height, width) as floats, or an error."""
    try:
        height, width = (float(length) for length in size_angstrom)
    except (TypeError, ValueError) as error:
        raise StructureError(f"size_angstrom must be (height, width) in Å, got {size_angstrom!r}.") from error
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise StructureError(
            f"size_angstrom must be two lengths between 0 and {LARGEST_SIDE:g} Å, got {size_angstrom!r}."
        )
    return height, width


def versions() -> dict[str, str]:
    """Versions of what a structure depends on."""
    from atomnb import __version__

    return {"atomnb": __version__, "ase": require("ase", extra="simulate").__version__, "numpy": np.__version__}
