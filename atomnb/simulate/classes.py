"""What a model is to tell apart: class schemes, the labels they give to columns, and the class maps drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

import numpy as np

from atomnb.data.labelled_scene import BACKGROUND_CLASS, IGNORED_CLASS
from atomnb.errors import AtomnbError

SPECIAL_CLASSES = {"background": BACKGROUND_CLASS, "ignore": IGNORED_CLASS}
"""Targets of a rule that are no class: taught as background, or not taught at all."""

DEFECT_REACH_ANGSTROM = 0.6
"""A column this near to a defect is the defect's; without one, the defect is a position of its own (a vacancy)."""

Rules = tuple[tuple[str, str], ...]
"""Pairs (pattern, class), tried in order; patterns as in file names: '*' any text, '?' any letter, '[ab]' a choice."""


class NamedDefect(Protocol):
    """What a scheme needs of a defect."""

    kind: str
    name: str
    yx_angstrom: tuple[float, float]


@dataclass(frozen=True)
class ClassScheme:
    """Which columns and defects count as which class.

    Parameters
    ----------
    name : str
    classes : tuple of str
        After the background, which is always class 0; class k of a class map is `classes[k - 1]`.
    columns : rules
        Pattern of a column's content ('Mo', 'S2', 'TiO') → class, 'background' or 'ignore'. The first that fits
        decides; a column that none fits is an error.
    defects : rules
        Pattern of a defect's name ('V_S') or kind ('vacancy') → the same. A defect's class replaces that of its
        column, and a defect without a column becomes a position. Defects that no rule fits change nothing.
    empty_only : bool
        Whether a defect with a column leaves it its class: an S where S2 was stays 'S', and only a site with nothing
        left is a 'vacancy'.

    Raises
    ------
    AtomnbError
        If classes repeat, or a rule leads to a class that is not in the list.

    Examples
    --------
    >>> scheme = ClassScheme("mos2", ("metal", "sulfur"), (("Mo", "metal"), ("S*", "sulfur")))
    >>> scheme.class_of_column("S2")
    2
    """

    name: str
    classes: tuple[str, ...]
    columns: Rules
    defects: Rules = ()
    empty_only: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        for rules in ("columns", "defects"):
            object.__setattr__(self, rules, tuple((str(p), str(c)) for p, c in getattr(self, rules)))
        if not self.classes or len(set(self.classes)) < len(self.classes) or set(self.classes) & set(SPECIAL_CLASSES):
            raise AtomnbError(
                f"classes must be different names other than {', '.join(SPECIAL_CLASSES)}, got {self.classes}."
            )
        if len(self.classes) >= IGNORED_CLASS:
            raise AtomnbError(f"at most {IGNORED_CLASS - 1} classes fit a class map, got {len(self.classes)}.")
        unknown = {c for _, c in (*self.columns, *self.defects)} - {*self.classes, *SPECIAL_CLASSES}
        if unknown:
            raise AtomnbError(
                f"the rules of {self.name!r} lead to {', '.join(sorted(unknown))}, which the class list "
                f"({', '.join(self.classes)}) lacks: add the class or change the rule."
            )

    def class_of_column(self, content: str) -> int:
        """The code (0, 1, ..., 255 = ignored) of a column.

        Raises
        ------
        AtomnbError
            If no rule fits.
        """
        code = self._first(self.columns, content)
        if code is None:
            raise AtomnbError(
                f"no rule of the class scheme {self.name!r} fits a column of {content!r}: add a rule for it, or "
                "('*', 'background') or ('*', 'ignore') as the last one."
            )
        return code

    def class_of_defect(self, defect: NamedDefect) -> int | None:
        """The code of a defect, by its name or else its kind; None where no rule fits."""
        code = self._first(self.defects, defect.name)
        return code if code is not None else self._first(self.defects, defect.kind)

    def to_dict(self) -> dict[str, Any]:
        """The scheme as JSON can hold it."""
        return {
            "name": self.name,
            "classes": list(self.classes),
            "columns": [list(rule) for rule in self.columns],
            "defects": [list(rule) for rule in self.defects],
            "empty_only": self.empty_only,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassScheme:
        """The scheme that `to_dict` wrote.

        Raises
        ------
        AtomnbError
        """
        try:
            return cls(
                values["name"],
                tuple(values["classes"]),
                values["columns"],
                values.get("defects", ()),
                bool(values.get("empty_only", False)),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, AtomnbError):
                raise
            raise AtomnbError(
                "a class scheme needs 'name', 'classes' (a list of names) and 'columns' (a list of [pattern, class]), "
                f"got {values!r}."
            ) from error

    def _first(self, rules: Rules, text: str) -> int | None:
        for pattern, target in rules:
            if fnmatchcase(text, pattern):
                return SPECIAL_CLASSES[target] if target in SPECIAL_CLASSES else 1 + self.classes.index(target)
        return None


class LabelledColumns(NamedTuple):
    """Positions (N, 2), what is there (N,) str, and the class code of each (N,) uint8."""

    positions_yx: np.ndarray
    species: np.ndarray
    column_class: np.ndarray


def label_columns(
    positions_angstrom: np.ndarray, content: Sequence[str], scheme: ClassScheme, *, defects: Sequence[NamedDefect] = ()
) -> LabelledColumns:
    """Columns and defects with their classes.

    Parameters
    ----------
    positions_angstrom : (N, 2)
        Columns, Å.
    content : (N,) str
    scheme : ClassScheme
    defects : sequence of Defect
        Their positions share the origin of `positions_angstrom`.

    Returns
    -------
    LabelledColumns
        In Å; first the columns in their order, then the defects that have none.

    Raises
    ------
    AtomnbError
        If lengths differ, or no rule fits a column.
    """
    from scipy.spatial import cKDTree

    positions = np.asarray(positions_angstrom, float).reshape(-1, 2)
    if len(positions) != len(content):
        raise AtomnbError(
            f"positions and content must have one entry per column, got {len(positions)} and {len(content)}."
        )
    code_of = {text: scheme.class_of_column(text) for text in {str(c) for c in content}}
    species, codes = [str(c) for c in content], [code_of[str(c)] for c in content]
    tree, added = cKDTree(positions) if len(positions) else None, []
    for defect in defects:
        code = scheme.class_of_defect(defect)
        if code is None:
            continue
        distance, nearest = tree.query(defect.yx_angstrom) if tree else (np.inf, 0)
        if distance <= DEFECT_REACH_ANGSTROM:
            codes[nearest] = codes[nearest] if scheme.empty_only else code
        else:
            added.append(defect.yx_angstrom)
            species.append(defect.name)
            codes.append(code)
    everything = np.concatenate([positions, np.asarray(added, float).reshape(-1, 2)])
    return LabelledColumns(everything, np.array(species, object), np.array(codes, np.uint8))


def draw_class_map(
    positions_yx: np.ndarray, column_class: np.ndarray, shape: tuple[int, int], *, radius: float
) -> np.ndarray:
    """Class map (H, W) uint8: discs of `radius` px; where they touch, each pixel belongs to the nearest column.

    Raises
    ------
    AtomnbError
        If the radius is too small for every column to show.
    """
    if not radius >= 0.75:
        raise AtomnbError(
            f"a class map needs discs of at least 0.75 px, got a radius of {radius:.3g} px: use finer pixels or a "
            "larger radius."
        )
    positions = np.asarray(positions_yx, float).reshape(-1, 2)
    reach = int(np.ceil(radius)) + 1
    offset = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    pixel = np.round(positions).astype(int)[:, None] + offset
    squared = ((pixel - positions[:, None]) ** 2).sum(axis=-1)
    inside = (squared <= radius**2) & ((pixel >= 0) & (pixel < np.array(shape))).all(axis=-1)
    farthest_first = np.argsort(-squared[inside], kind="stable")  # so that the nearest column is written last
    y, x = pixel[inside][farthest_first].T
    codes = np.broadcast_to(np.asarray(column_class, np.uint8)[:, None], squared.shape)[inside][farthest_first]
    out = np.full(shape, BACKGROUND_CLASS, np.uint8)
    out[y, x] = codes
    return out
