"""Class schemes ready to use: by material, by content of the column, by element, by defect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from atomnb.data.elements import ELEMENTS
from atomnb.errors import AtomnbError
from atomnb.simulate.classes import ClassScheme, Rules
from atomnb.simulate.materials import dumbbell, graphene_si, perovskite, tmd


def scheme_by_content(contents: Iterable[str], *, vacancies: bool = False, name: str = "content") -> ClassScheme:
    """A class for each different content of a column ('Mo', 'S2', 'S'), and one for empty sites if asked for."""
    different = tuple(sorted({str(content) for content in contents}))
    rules = tuple((_literal(content), content) for content in different)
    if not vacancies:
        return ClassScheme(name, different, rules)
    return ClassScheme(name, (*different, "vacancy"), rules, (("vacancy", "vacancy"),), empty_only=True)


def scheme_by_element(contents: Iterable[str], *, name: str = "element") -> ClassScheme:
    """A class for each element; a mixed column ('TiO') belongs to the element it is named by first.

    Raises
    ------
    AtomnbError
        If a content does not begin with the symbol of an element.
    """
    first = {content: _first_element(content) for content in sorted(set(contents))}
    rules = tuple((_literal(content), element) for content, element in first.items())
    return ClassScheme(name, tuple(sorted(set(first.values()))), rules)


def scheme_by_defect(defects: Iterable[str], *, host: str = "host", name: str = "defect") -> ClassScheme:
    """A class for columns of the host, and one for each defect, given by name ('V_S') or kind ('vacancy')."""
    different = tuple(dict.fromkeys(defects))
    rules = tuple((_literal(defect), defect) for defect in different)
    return ClassScheme(name, (host, *different), (("*", host),), rules)


def _literal(text: str) -> str:
    """The pattern that fits `text` alone."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _first_element(content: str) -> str:
    found = re.match(r"[A-Z][a-z]?", content)
    if not found or found.group() not in ELEMENTS:
        raise AtomnbError(f"columns are named by their elements ('Mo', 'TiO'), got {content!r}.")
    return found.group()


def _exactly(target: str, contents: str) -> Rules:
    return tuple((content, target) for content in contents.split())


def _led_by(target: str, elements: str) -> Rules:
    """Columns whose name begins with one of the elements: alone, counted, or followed by another."""
    return tuple((element + rest, target) for element in elements.split() for rest in ("", "[0-9]*", "[A-Z]*"))


def _dumbbell_scheme(pair: str) -> ClassScheme:
    """The classes of the dumbbell model for one III–V or II–VI crystal, whose name tells its two elements."""
    column, heavier, lighter = dumbbell.LABELS
    cation, anion = re.findall("[A-Z][a-z]?", pair)
    heavy_first = dumbbell.PAIRS[pair][0] > dumbbell.PAIRS[pair][1]
    heavy, light = (cation, anion) if heavy_first else (anion, cation)
    rules = (*_led_by(column, "Si Ge C"), *_led_by(heavier, heavy), *_led_by(lighter, light))
    return ClassScheme(f"dumbbell-{pair.lower()}", dumbbell.LABELS, (*rules, ("*", "ignore")))


def _ready_schemes() -> Iterable[ClassScheme]:
    metal, pair, single, vacancy = tmd.LABELS
    yield ClassScheme("columns", ("column",), (("*", "column"),))
    yield ClassScheme("graphene-si", graphene_si.LABELS, (("C", "C"), ("Si", "Si"), ("*", "ignore")))
    yield ClassScheme(
        "tmd",
        tmd.LABELS,
        (
            *_exactly(metal, "Mo W Nb Ta Re V Ti Pt Sn Zr Hf"),
            *_exactly(pair, "S2 Se2 Te2 SSe SeS STe TeS SeTe TeSe"),
            *_exactly(single, "S Se Te"),
            ("*", "ignore"),
        ),
        (("vacancy", vacancy),),
        empty_only=True,
    )
    a, b, o = perovskite.LABELS
    yield ClassScheme(
        "perovskite",
        perovskite.LABELS,
        (
            *_led_by(a, "Sr Ba Pb La Ca K Na Nd Pr Bi"),
            *_led_by(b, "Ti Mn Zr Nb Fe Co Ni Ru Al"),
            *_led_by(o, "O"),
            ("*", "ignore"),
        ),
    )
    for name in dumbbell.PAIRS:
        yield _dumbbell_scheme(name)


SCHEMES: Mapping[str, ClassScheme] = {scheme.name: scheme for scheme in _ready_schemes()}
"""Ready class schemes, by name; those of a material have the classes of its model (`atomnb.simulate.materials`)."""
