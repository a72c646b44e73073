"""What a defect is called: its formula, its systematic name, and a consistent one where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from atomnb.graph.anomalies import Group
from atomnb.graph.rules import RuleSet
from atomnb.graph.structure import StructureGraph

VACANT = "Va"
"""A missing atom in a formula, as in thermodynamics (V would be vanadium); names keep the customary V_S."""

HOLE = 24
"""A ring of more atoms than this is a hole."""

BOUNDARY = 6
"""This many rings of other sizes in a row, with hardly an atom missing, are a grain boundary; along a line there may be
more atoms than in the crystal, too, as where the zigzag rows of a twin line 4|4E face each other."""

REBUILT = 4
"""Rings of other sizes per missing atom, at most, of a vacancy that has closed: 5555-6-7777 has eight for two."""

HARDLY = 0.25
"""Atoms missing, or too many, per ring of a boundary at most."""

LINE = 0.25
"""Rings whose centres spread across this share of their spread along, or less, lie in a line."""


def kind_of(group: Group, graph: StructureGraph) -> str:
    """'dopant', 'antisite', 'vacancy', 'rotation' (rings alone), 'boundary', 'hole', 'adatom' or 'disorder'."""
    if len(group.dopants):
        more = [_change(graph, atom)[0] for atom in group.dopants]
        if not any(more):
            return "vacancy"
        own = {symbol for site in graph.rules.host.sites for symbol in usual_content(graph, site)}
        if all(_is_between(group, graph, atom) for atom in group.dopants) and all(set(m) <= own for m in more):
            return "adatom"
        return "antisite" if all(set(m) <= own for m in more) else "dopant"
    sizes = graph.rings.sizes[group.rings]
    missing = round(group.missing)
    if len(sizes) and sizes.max() > HOLE:
        return "hole"
    if missing < 0 and _round_one_atom(group, graph):
        return "adatom"
    if group.exact and 0 < len(sizes) <= REBUILT * missing:
        return "vacancy"
    if len(sizes) >= BOUNDARY:
        hardly = abs(missing) <= HARDLY * len(sizes) or (missing < 0 and _in_a_line(group, graph))
        return "boundary" if hardly else "disorder"
    if missing > 0:
        return "vacancy"
    return "adatom" if missing < 0 or not len(sizes) else "rotation"


def _round_one_atom(group: Group, graph: StructureGraph) -> bool:
    """Whether the rings have an atom in common, as those round an atom between the sites have."""
    rings = [set(graph.rings.of(r).tolist()) for r in group.rings]
    return bool(rings) and bool(set.intersection(*rings))


def _in_a_line(group: Group, graph: StructureGraph) -> bool:
    """Whether the centres of the rings lie along a line."""
    across, along = np.linalg.eigvalsh(np.cov(graph.rings.centres_yx[group.rings].T))
    return bool(across <= LINE**2 * along)


def _is_between(group: Group, graph: StructureGraph, atom: int) -> bool:
    """Whether a dopant stands on no site: it has no bond, or there are as many atoms too many as dopants."""
    return graph.coordination[atom] == 0 or (group.exact and round(group.missing) <= -len(group.dopants))


def formula_of(group: Group, graph: StructureGraph) -> str:
    """What sits there and what it is bonded to, counts always written: 'Si1C3', 'Va1C3', 'S1Mo3', 'C16'."""
    empty = _counted_empty(group, graph)
    inside = _counted(graph, group.dopants) | ({VACANT: empty} if empty else {})
    outside = _counted(graph, surrounding_atoms(group, graph))
    return "".join(f"{symbol}{count}" for part in (inside, outside) for symbol, count in sorted(part.items()))


def surrounding_atoms(group: Group, graph: StructureGraph) -> np.ndarray:
    """Atoms bonded to the dopants and round the empty sites, or without either those of the rings."""
    if _counted_empty(group, graph):
        return np.union1d(group.bonded, group.dangling)
    return group.bonded if len(group.dopants) else ring_atoms(group, graph)


def _counted_empty(group: Group, graph: StructureGraph) -> int:
    """Empty sites that the formula counts.

    In a crystal with one kind of site the bonds of a dopant tell those beside it: 'Si1C4' is silicon in place of two
    carbons. With two kinds they are named apart ('V_S+V_S2') and counted apart.
    """
    apart = not len(group.dopants) or len(graph.rules.host.sites) == 2
    return max(round(group.missing), 0) if apart else 0


def ring_atoms(group: Group, graph: StructureGraph) -> np.ndarray:
    """Atoms of the rings of other sizes and those that hang loose."""
    parts = [graph.rings.of(r) for r in group.rings]
    return np.unique(np.concatenate([*parts, group.dangling]).astype(int))


def name_of(group: Group, graph: StructureGraph, formula: str, topology: str) -> str:
    """A name of the rules, the name of the sites concerned, or 'unseen: …' with formula, bonds, rings and topology."""
    rings = ring_code(group, graph)
    known = _from_rules(graph.rules, formula, rings, round(group.missing), bool(len(group.dopants)))
    if known:
        return known
    if len(graph.rules.host.sites) == 2:
        by_site = _by_sites(group, graph)
        if by_site:
            return by_site
    detail = bond_code(group, graph) if len(group.dopants) else "-".join(map(str, rings))
    return f"unseen: {formula}-{detail}#{topology[:4]}"


def ring_code(group: Group, graph: StructureGraph) -> tuple[int, ...]:
    """Sizes of the rings that are not the crystal's, ascending."""
    return tuple(sorted(int(n) for n in graph.rings.sizes[group.rings]))


def bond_code(group: Group, graph: StructureGraph) -> str:
    """Bonds of each dopant, ascending: '3f4f' is one with three and one with four."""
    return "".join(f"{n}f" for n in sorted(graph.coordination[group.dopants]))


def _from_rules(rules: RuleSet, formula: str, rings: tuple[int, ...], missing: int, doped: bool) -> str | None:
    for entry in rules.names:
        if entry.formula is not None and entry.formula != formula:
            continue
        if entry.rings is not None and (doped or entry.rings != rings):
            continue
        if entry.missing is not None and entry.missing != missing:
            continue
        return entry.name
    return None


def _counted(graph: StructureGraph, atoms: np.ndarray) -> dict[str, int]:
    """Atoms by element, every atom of a column counted."""
    total: Counter[str] = Counter()
    for name in graph.species[atoms]:
        total.update(graph.rules.of(name).content)
    return dict(total)


def _change(graph: StructureGraph, atom: int) -> tuple[Counter, Counter]:
    """What a column has more, and what it has less, than the one that belongs on its site."""
    there, due = Counter(graph.rules.of(graph.species[atom]).content), Counter(usual_content(graph, graph.sites[atom]))
    return there - due, due - there


def usual_content(graph: StructureGraph, site: str) -> Mapping[str, int]:
    """Content of the column that belongs on a site."""
    return next(s.content for s in graph.rules.species.values() if s.site == site)


def _written(content: Mapping[str, int]) -> str:
    return "".join(symbol if count == 1 else f"{symbol}{count}" for symbol, count in content.items())


def _by_sites(group: Group, graph: StructureGraph) -> str | None:
    """'V_S', 'V_S2', 'Mo_S2', 'Cr_Mo', 'Fe_i' (on no site), joined by '+'; None for rings without them."""
    parts: Counter[str] = Counter()
    for atom in group.dopants:
        more, less = _change(graph, atom)
        if _is_between(group, graph, atom):
            more, less = graph.rules.of(graph.species[atom]).content, {}
        parts[f"{_written(more).replace('V', 'vanadium') or 'V'}_{_written(less) or 'i'}"] += 1
    for site, count in missing_by_site(group, graph).items():
        if count:
            parts[f"V_{_written(usual_content(graph, site))}"] += count
    return "+".join(name if n == 1 else f"{n}{name}" for name, n in sorted(parts.items())) or None


def missing_by_site(group: Group, graph: StructureGraph) -> dict[str, int]:
    """How many columns are missing on each kind of site.

    Each missing atom leaves as many bonds dangling as it had, except those to other missing ones, so the difference
    of the dangling bonds on the two kinds of sites tells how the missing atoms are shared out.
    """
    missing = max(round(group.missing), 0)
    sites = graph.rules.host.sites
    if len(sites) == 1:
        return {sites[0]: missing}
    lack = graph.host.coordination - graph.coordination[group.lacking]
    first = lack[graph.sites[group.lacking] == sites[0]].sum()
    second = lack[graph.sites[group.lacking] == sites[1]].sum()
    excess = (second - first) / graph.host.coordination
    on_first = int(np.clip(round((missing + excess) / 2), 0, missing))
    return {sites[0]: on_first, sites[1]: missing - on_first}
