"""DefectRecord: one defect with its picture, atoms, bonds, names and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.graph.geometry import Measured, bond_angles, bond_lengths


@dataclass(frozen=True, eq=False)
class DefectRecord:
    """One defect, on its own.

    Parameters
    ----------
    patch : array (H, W)
        The image around it.
    positions_yx : array (N, 2)
        Its atoms and those around it, Å from the centre of the patch's top-left pixel.
    species : sequence of str (N,)
    pairs : int array (E, 2)
        Bonds between them.
    formula : str
        Dopants first, host last, counts always written: 'Si1C3'.
    pixel_size : float
        Å per pixel of the patch.
    name, topology : str
        '' if unknown.
    center_yx : (float, float)
        Å; the defect's centre in the image it was cut from.
    errors_yx : array (N, 2), optional
        Standard errors of the positions, Å; NaN where unknown.
    counted : bool array (N,), optional
        Atoms that the formula counts; all of them if left out.
    metadata : mapping
        Provenance: source file, model, versions, confidence, ...; JSON-able.

    Raises
    ------
    AtomnbError
        If the parts do not fit together.
    """

    patch: np.ndarray
    positions_yx: np.ndarray
    species: tuple[str, ...]
    pairs: np.ndarray
    formula: str
    pixel_size: float
    name: str = ""
    topology: str = ""
    center_yx: tuple[float, float] = (float("nan"), float("nan"))
    errors_yx: np.ndarray | None = None
    counted: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        yx = np.asarray(self.positions_yx, float).reshape(-1, 2)
        n = len(yx)
        errors = np.full((n, 2), np.nan) if self.errors_yx is None else np.asarray(self.errors_yx, float)
        counted = np.ones(n, bool) if self.counted is None else np.asarray(self.counted, bool)
        fields = {
            "patch": np.asarray(self.patch, np.float32),
            "positions_yx": yx,
            "species": tuple(str(s) for s in self.species),
            "pairs": np.asarray(self.pairs, np.int64).reshape(-1, 2),
            "pixel_size": float(self.pixel_size),
            "center_yx": tuple(float(v) for v in self.center_yx),
            "errors_yx": errors,
            "counted": counted,
            "metadata": dict(self.metadata),
        }
        for key, value in fields.items():
            object.__setattr__(self, key, value)
        self._check(n)

    def _check(self, n: int) -> None:
        if self.patch.ndim != 2:
            raise AtomnbError(f"a defect's patch must be an image (H, W), got shape {self.patch.shape}.")
        if not np.isfinite(self.positions_yx).all():
            raise AtomnbError("a defect's positions must be finite: leave out atoms without a position.")
        for what, size in (("species", len(self.species)), ("counted", len(self.counted))):
            if size != n:
                raise AtomnbError(f"{what} must hold one value for each of the {n} atoms, got {size}.")
        if self.errors_yx.shape != (n, 2):
            raise AtomnbError(f"errors_yx must have shape ({n}, 2), got {self.errors_yx.shape}.")
        if len(self.pairs) and not (self.pairs.min() >= 0 and self.pairs.max() < n):
            raise AtomnbError(f"pairs name atoms 0 to {n - 1}, got {self.pairs.min()} to {self.pairs.max()}.")
        lengths = np.abs(self.positions_yx[self.pairs[:, 0]] - self.positions_yx[self.pairs[:, 1]]).max(axis=1)
        if (lengths == 0).any():
            first, second = self.pairs[np.argmin(lengths)]
            raise AtomnbError(f"the bonded atoms {first} and {second} stand at one place: leave out one of them.")
        if not (np.isfinite(self.pixel_size) and self.pixel_size > 0):
            raise AtomnbError(f"pixel_size must be a positive length in Å, got {self.pixel_size!r}.")

    def __len__(self) -> int:
        return len(self.positions_yx)

    @property
    def positions_px(self) -> np.ndarray:
        """Positions (N, 2) in px of the patch."""
        return self.positions_yx / self.pixel_size

    def core_pairs(self) -> np.ndarray:
        """Bonds (E', 2) with at least one end among the counted atoms."""
        return self.pairs[self.counted[self.pairs].any(axis=1)]

    def lengths(self) -> Measured:
        """Lengths of the core's bonds, Å, with errors."""
        return bond_lengths(self.positions_yx, self.core_pairs(), self.errors_yx)

    def angles(self) -> Measured:
        """Angles between the core's bonds, rad, with errors."""
        return bond_angles(self.positions_yx, self.core_pairs(), self.errors_yx)


def formula_of_species(species, *, host: str) -> str:
    """Formula of a list of atoms: dopants in alphabetical order, host last, counts always written.

    Examples
    --------
    >>> formula_of_species(["C", "Si", "C", "C"], host="C")
    'Si1C3'
    """
    kinds, count = np.unique([str(s) for s in species], return_counts=True)
    order = sorted(range(len(kinds)), key=lambda k: (kinds[k] == host, kinds[k]))
    return "".join(f"{kinds[k]}{count[k]}" for k in order)
