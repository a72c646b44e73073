"""Atomic structures by name or from a file, ready for the beam."""

from atomnb.simulate.structures.base import Columns, Defect, Structure, StructureError
from atomnb.simulate.structures.kinds import Option, StructureKind
from atomnb.simulate.structures.registry import STRUCTURES, create_structure
from atomnb.simulate.structures.userfile import read_structure

__all__ = [
    "STRUCTURES",
    "Columns",
    "Defect",
    "Option",
    "Structure",
    "StructureError",
    "StructureKind",
    "create_structure",
    "read_structure",
]
