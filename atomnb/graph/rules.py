"""Chemistry rules as data: what bonds to what, what a perfect crystal looks like, what defects are called.

A rule set is one small YAML file; those of the package lie in `atomnb/graph/rulesets`, a user's own in
`user_rules_folder()` or anywhere. Nothing in
it is code, and every number that cannot be right is refused with the place where it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from atomnb.data.elements import ELEMENTS
from atomnb.errors import AtomnbError
from atomnb.graph.rule_yaml import load_rule_yaml

RULES_DIR = Path(__file__).parent / "rulesets"
RULES_VARIABLE = "ATOMNB_RULES"
"""Environment variable that names the folder of the user's own rule sets."""

LONGEST_BOND = 8.0
"""Å; no bond between columns is longer."""

MERGING = ("shared", "bonded", "vacancy")
ANY = "any"
"""Entry under `species` that stands for every name not listed."""

MOTIFS = {"honeycomb": (3, 6), "square": (4, 4), "triangular": (6, 3)}
"""Motifs of a planar host: neighbours of each atom, atoms round each ring."""


class RulesError(AtomnbError):
    """A rule set cannot be used: unknown name, unreadable file, impossible or contradictory entries."""


@dataclass(frozen=True)
class Species:
    """What an entry in the `species` column of an atom table stands for.

    symbol : element, or a letter for a kind of site ('M', 'X'), by which its bonds are looked up
    content : atoms of each element in one column seen from above ('S2': two of S, 'MoS': one of each)
    valence : bonds it can have in the plane
    site : kind of host site on which it is at home; None for a dopant
    """

    symbol: str
    content: Mapping[str, int]
    valence: int
    site: str | None


@dataclass(frozen=True)
class Host:
    """The perfect crystal, seen as a planar net.

    motif : one of MOTIFS, or None: learnt from the atoms at hand
    bond : shortest neighbour distance, Å; positions are brought to it before the ranges apply. None: as they are
    sites : kinds of sites, one or two; neighbours are of the other kind where there are two
    """

    motif: str | None
    bond: float | None
    sites: tuple[str, ...]

    @property
    def coordination(self) -> int | None:
        """Neighbours of an atom of the crystal."""
        return MOTIFS[self.motif][0] if self.motif else None

    @property
    def ring(self) -> int | None:
        """Atoms round each ring of the crystal."""
        return MOTIFS[self.motif][1] if self.motif else None


@dataclass(frozen=True)
class NamedDefect:
    """A name and what a defect must have to bear it: its formula, or its rings and how many atoms are missing."""

    name: str
    formula: str | None = None
    rings: tuple[int, ...] | None = None
    missing: int | None = None


@dataclass(frozen=True)
class RuleSet:
    """The rules of one family of materials.

    species : by the name in the atom table; others are taken by their element, as dopants
    ranges : shortest and longest bond (Å) of two symbols, in alphabetical order
    projected : the bonds of columns seen from above; an unlisted pair then takes the widest range listed, where in a
        flat sheet it takes the covalent radii
    least_angle_deg : smallest angle between two bonds of an atom
    merge : dopants belong to one defect when 'bonded', also when they have a 'shared' neighbour, or also when they
        stand round the same 'vacancy'
    names : tried in order
    ignored : species that are not part of the net (oxygen columns of a perovskite)
    """

    name: str
    summary: str
    host: Host
    species: Mapping[str, Species]
    ranges: Mapping[tuple[str, str], tuple[float, float]]
    projected: bool = False
    least_angle_deg: float = 0.0
    merge: str = "shared"
    names: tuple[NamedDefect, ...] = ()
    ignored: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def of(self, species: str) -> Species:
        """What a species stands for; elements without an entry ('Cr', 'Se2', 'MoS') are dopants with up to four bonds.

        Raises
        ------
        RulesError
            If it is neither listed nor made of elements.
        """
        if species in self.species:
            return self.species[species]
        if ANY in self.species:
            return self.species[ANY]
        content = _content(species)
        if content:
            return Species(next(iter(content)) if len(content) == 1 else species, content, 4, None)
        raise RulesError(
            f"the rules {self.name!r} know no species {str(species)!r}: add it under `species` in a rule file of "
            f"your own, or use a model that names {', '.join(self.species)}."
        )


def _content(species: str) -> dict[str, int]:
    """Atoms by element of a column such as 'S2' or 'MoS'; empty if it is no formula."""
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", species)
    whole = "".join(symbol + count for symbol, count in parts) == species
    if not whole or any(symbol not in ELEMENTS for symbol, _ in parts):
        return {}
    return {symbol: int(count or 1) for symbol, count in parts}


def user_rules_folder() -> Path:
    """Where the user's own rule sets lie: the environment variable ATOMNB_RULES, else ~/.local/share/atomnb/rules.

    The folder need not exist.
    """
    own = os.environ.get(RULES_VARIABLE)
    return Path(own).expanduser() if own else Path.home() / ".local" / "share" / "atomnb" / "rules"


def list_rules() -> list[str]:
    """Names of the rule sets: those of the package, then the user's own, which cannot take the name of one of these."""
    shipped = sorted(path.stem for path in RULES_DIR.glob("*.yaml"))
    return shipped + sorted({path.stem for path in user_rules_folder().glob("*.yaml")} - set(shipped))


def rules_text(name: str) -> str:
    """The YAML text of a rule set of `list_rules()`.

    Raises
    ------
    RulesError
    """
    return _path_of(name).read_text(encoding="utf-8")


def load_rules(rules: str | Path | RuleSet) -> RuleSet:
    """A rule set by name, from a YAML file, or as it is.

    Parameters
    ----------
    rules : one of `list_rules()`, the path of a YAML file, or a RuleSet

    Returns
    -------
    RuleSet

    Raises
    ------
    RulesError

    Examples
    --------
    >>> from atomnb.graph.rules import load_rules
    >>> load_rules("graphene").ranges["C", "Si"]
    (1.2, 2.3)
    """
    if isinstance(rules, RuleSet):
        return rules
    if not isinstance(rules, (str, os.PathLike)):
        raise RulesError(
            f"rules must be the name of a rule set, the path of a YAML file or a RuleSet, got {rules!r}: choose "
            f"{', '.join(list_rules())}."
        )
    path = _path_of(rules)
    return parse_rules(path.read_text(encoding="utf-8"), name=path.stem)


def _path_of(rules: str | Path) -> Path:
    """The file of a rule set given by name or path."""
    path = Path(rules)
    if path.suffix not in (".yaml", ".yml") and path.name == str(rules):
        places = [folder / f"{rules}.yaml" for folder in (RULES_DIR, user_rules_folder())]
        path = next((place for place in places if place.is_file()), path)
    if not path.is_file():
        raise RulesError(f"there are no rules {str(rules)!r}: choose {', '.join(list_rules())}, or pass a YAML file.")
    return path


def parse_rules(text: str, *, name: str = "rules") -> RuleSet:
    """A rule set from YAML text; every mistake is named with its place.

    Raises
    ------
    RulesError
    """
    try:
        raw = load_rule_yaml(text)
    except yaml.YAMLError as error:
        raise RulesError(f"{name} is not valid YAML: {error}") from error
    entry = _Entry(raw, name)
    entry.only("name", "summary", "host", "species", "bonds", "projected", "least_angle", "merge", "names", "ignored")
    host = _host(entry.part("host"))
    species = {key: _species(entry.part("species").part(key), host) for key in entry.part("species").raw}
    for site in host.sites:
        if not any(s.site == site for s in species.values()):
            raise RulesError(
                f"{name}: no species is at home on the host site {site!r}; give at least one `site: {site}`."
            )
    return RuleSet(
        name=str(entry.raw.get("name", name)),
        summary=str(entry.raw.get("summary", "")),
        host=host,
        species=species,
        ranges=_ranges(entry.part("bonds"), {s.symbol for s in species.values()}),
        projected=entry.choice("projected", (True, False), default=False),
        least_angle_deg=entry.number("least_angle", 0, 120, default=0.0),
        merge=entry.choice("merge", MERGING, default="shared"),
        names=tuple(_named(_Entry(row, f"{name}: names[{i}]")) for i, row in enumerate(entry.rows("names"))),
        ignored=tuple(map(str, entry.rows("ignored"))),
        source=raw,
    )


class _Entry:
    """A mapping of the file and where it stands, for errors that say so."""

    def __init__(self, raw: Any, place: str):
        if not isinstance(raw, dict):
            raise RulesError(f"{place} must be a mapping of names to values, got {raw!r}.")
        self.raw, self.place = raw, place

    def only(self, *known: str) -> None:
        unknown = [key for key in self.raw if key not in known]
        if unknown:
            raise RulesError(f"{self.place}: unknown entry {unknown[0]!r}; there are {', '.join(known)}.")

    def part(self, key: str) -> _Entry:
        if key not in self.raw:
            raise RulesError(f"{self.place}: {key!r} is missing.")
        return _Entry(self.raw[key], f"{self.place}: {key}")

    def number(self, key: str, low: float, high: float, *, default: float | None = None) -> float | None:
        value = self.raw.get(key, default)
        if value is None:
            return None
        return _number(value, low, high, f"{self.place}: {key}")

    def whole(self, key: str, low: int, high: int, *, default: int | None = None) -> int | None:
        value = self.number(key, low, high, default=default)
        if value is not None and value != int(value):
            raise RulesError(f"{self.place}: {key} must be a whole number, got {value!r}: round it, or leave it out.")
        return None if value is None else int(value)

    def rows(self, key: str) -> list:
        value = self.raw.get(key) or []
        if not isinstance(value, list):
            raise RulesError(f"{self.place}: {key} must be a list, got {value!r}.")
        return value

    def choice(self, key: str, known, *, default):
        value = self.raw.get(key, default)
        if value is not None and value not in tuple(known):
            raise RulesError(f"{self.place}: {key} must be one of {', '.join(map(str, known))}, got {value!r}.")
        return value


def _number(value: Any, low: float, high: float, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise RulesError(f"{place} must be a number from {low:g} to {high:g}, got {value!r}.")
    return value


def _host(entry: _Entry) -> Host:
    entry.only("motif", "bond", "sites")
    sites = entry.raw.get("sites") or ["host"]
    if not isinstance(sites, list) or not 1 <= len(sites) <= 2 or len(set(map(str, sites))) < len(sites):
        raise RulesError(f"{entry.place}: sites must be a list of one or two different names, got {sites!r}.")
    motif = entry.choice("motif", MOTIFS, default=None)
    return Host(motif, entry.number("bond", 0.3, LONGEST_BOND), tuple(map(str, sites)))


def _species(entry: _Entry, host: Host) -> Species:
    entry.only("symbol", "count", "valence", "site")
    symbol = str(entry.raw.get("symbol", entry.place.rsplit(": ", 1)[-1]))
    if not symbol.isalpha():
        raise RulesError(f"{entry.place}: symbol must be letters only, got {symbol!r}.")
    site = entry.choice("site", host.sites, default=None)
    count, valence = entry.whole("count", 1, 1000, default=1), entry.whole("valence", 1, 12, default=4)
    return Species(symbol, {symbol: count}, valence, site)


def _ranges(entry: _Entry, symbols: set[str]) -> dict[tuple[str, str], tuple[float, float]]:
    ranges, written = {}, {}
    for pair, limits in entry.raw.items():
        place = f"{entry.place}: {pair}"
        ends = str(pair).split("-")
        unknown = [end for end in ends if end not in symbols and end not in ELEMENTS]
        if len(ends) != 2 or unknown:
            raise RulesError(f"{place}: a bond is named by two symbols, such as C-Si; known here: {sorted(symbols)}.")
        if not isinstance(limits, list) or len(limits) != 2:
            raise RulesError(f"{place} must be [shortest, longest] in Å, got {limits!r}.")
        low, high = (_number(value, 0.0, LONGEST_BOND, place) for value in limits)
        if low >= high:
            raise RulesError(f"{place}: the shortest bond ({low:g} Å) is not below the longest ({high:g} Å).")
        bond = tuple(sorted(ends))
        if bond in ranges:
            raise RulesError(f"{entry.place}: {written[bond]} and {pair} are the same bond: keep one of them.")
        ranges[bond], written[bond] = (float(low), float(high)), pair
    return ranges


def _named(entry: _Entry) -> NamedDefect:
    entry.only("name", "formula", "rings", "missing")
    if "name" not in entry.raw or not ("formula" in entry.raw or "rings" in entry.raw):
        raise RulesError(f"{entry.place} needs a name and what it is known by: a formula, or rings.")
    rings = entry.raw.get("rings")
    if rings is not None and not (isinstance(rings, list) and all(isinstance(n, int) and n > 2 for n in rings)):
        raise RulesError(f"{entry.place}: rings must be a list of ring sizes from 3 up, got {rings!r}.")
    return NamedDefect(
        str(entry.raw["name"]), entry.raw.get("formula"), tuple(sorted(rings)) if rings else None,
        entry.whole("missing", -20, 1000),
    )  # fmt: skip
