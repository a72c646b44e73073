"""The bond graph of an image's atoms by the rules of their material: bonds, rings, the site each atom is on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.spatial import ConvexHull, QhullError, cKDTree

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError, RangeWarning
from atomnb.graph.bonds import ONE_PLACE, find_bonds
from atomnb.graph.misnamed import is_misnamed
from atomnb.graph.neighbors import Neighbors, neighbors_radius
from atomnb.graph.radii import bond_range
from atomnb.graph.rings import Rings, find_rings, usual_size
from atomnb.graph.rules import ANY, RulesError, RuleSet, load_rules
from atomnb.graph.species import assign_species, weigh_contents
from atomnb.graph.standouts import BRIGHT, DARK, find_standouts
from atomnb.said import warn
from atomnb.scale import measure_spacing

COLUMN = "column"
"""Species of atoms by a model that knows no elements."""

SAME_PLACE = 1e-3
"""px; no two atoms are so near one another."""

A_FEW = 10
"""Fewer atoms do not tell that the rules are those of another material."""

UNKNOWN_ERROR = 0.06
"""Å; standard error per axis of atoms that carry none."""

MISNAMED = (
    "the model named the columns against the rules {rules!r}: what it calls one kind is as bright as the other should "
    "be. The species of bonds and defects are told by brightness; `universal` is the model to use here."
)

FOREIGN_DOUBT = 0.01
"""Chance that the rules are wrong about a bond of a foreign atom; of those of the crystal itself they are sure."""

LEAST_ERROR = 0.02
"""Å; scan jitter and drift that no fit knows of."""

MARGIN = 1.25
"""Atoms nearer to the border than this many of the crystal's longest bonds may have neighbours outside the image."""

NEAREST, FARTHEST = 0.85, 1.65
"""Crystal's bonds: a foreign atom in a flat sheet may rise out of it, which shortens its bonds as seen from above, and
it is not bonded to its second neighbours, 1.73 bonds away."""

_SHELLS = 9
_FEWEST = 3  # neighbours of an atom in a planar net
_AS_WIDE = 0.7  # share of the widest step between shells; on a square net two are equal and noise would choose


class HostNet(NamedTuple):
    """The perfect crystal as a net.

    `bond`, and `shortest` and `longest` bond (one in twenty left out at each end), Å; neighbours and ring size; area of
    one atom, Å².
    """

    bond: float
    shortest: float
    longest: float
    coordination: int
    ring: int
    area: float


@dataclass(frozen=True, eq=False)
class StructureGraph:
    """Atoms, their bonds and rings.

    positions_yx : (N, 2) Å in the scale of the rules: the crystal's bond has its own length
    errors_yx : (N, 2) Å, 1σ per axis
    species : (N,) as in the atom table, or as settled with the brightness of the columns; `species_score` (N,) their
        probability
    symbols : (N,) by which their bonds are looked up
    sites : (N,) kind of host site each atom is on by its surroundings
    at_home : (N,) bool, the species belongs on that site
    part : (N,) bool, the atom belongs to the net: it is not of an ignored species, and not judged to be an empty site
    neighbors : the most probable bonds
    rings : inner faces of the bond graph
    open : (N,) bool, so near to the border that neighbours may lie outside
    host : what the perfect crystal looks like
    scale : Å per pixel by the rules; `pixel_size` is the image's own, or None
    rules : the rules used
    """

    positions_yx: np.ndarray
    errors_yx: np.ndarray
    species: np.ndarray
    species_score: np.ndarray
    symbols: np.ndarray
    sites: np.ndarray
    at_home: np.ndarray
    part: np.ndarray
    neighbors: Neighbors
    rings: Rings
    open: np.ndarray
    host: HostNet
    scale: float
    pixel_size: float | None
    rules: RuleSet

    def __len__(self) -> int:
        return len(self.positions_yx)

    def __repr__(self) -> str:
        counts = f"{len(self)} atoms, {len(self.neighbors.pairs)} bonds, {len(self.rings.sizes)} rings"
        return f"StructureGraph({counts}, rules {self.rules.name!r})"

    @cached_property
    def coordination(self) -> np.ndarray:
        """Number of bonds (N,) of each atom."""
        return self.neighbors.coordination

    @cached_property
    def in_ring(self) -> np.ndarray:
        """Atoms (N,) that are part of a ring."""
        out = np.zeros(len(self), bool)
        out[self.rings.atoms] = True
        return out

    @cached_property
    def loose_yx(self) -> np.ndarray:
        """Positions (K, 2) Å of the atoms of the net that are in no ring."""
        return self.positions_yx[self.part & ~self.in_ring]

    @cached_property
    def tree(self) -> cKDTree:
        """The positions of the atoms of the net, to look up what is near."""
        return cKDTree(self.positions_yx[self.part])

    def bonds_of(self, atoms) -> np.ndarray:
        """Rows (K,) of `neighbors.pairs` that hold any of the atoms, ascending."""
        indptr, _, edge = self._adjacency
        return np.unique(np.concatenate([edge[:0], *(edge[indptr[a] : indptr[a + 1]] for a in atoms)]))

    def neighbors_of(self, atoms) -> np.ndarray:
        """Atoms (K,) bonded to any of the atoms, ascending."""
        indptr, indices, _ = self._adjacency
        return np.unique(np.concatenate([np.zeros(0, int), *(indices[indptr[a] : indptr[a + 1]] for a in atoms)]))

    def bond_vectors(self, atom: int) -> np.ndarray:
        """Vectors (K, 2) Å from an atom to those it is bonded to."""
        bonds = self.bonds_of([atom])
        sign = np.where(self.neighbors.pairs[bonds, 0] == atom, 1, -1)
        return sign[:, None] * self.neighbors.vectors_yx[bonds]

    @cached_property
    def _adjacency(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.neighbors.adjacency()

    def to_networkx(self):
        """The bonds as a networkx graph: nodes carry y, x (px) and species, edges length (Å) and probability."""
        return self.neighbors.to_networkx(self.positions_yx / self.scale, self.species)


def as_atoms(atoms, *, species=None, pixel_size: float | None = None) -> AtomTable:
    """An atom table from a table, a DataFrame with y and x in px, or positions (N, 2).

    Raises
    ------
    AtomnbError
        If positions are not finite, or species do not match them.
    """
    if isinstance(atoms, AtomTable):
        table = atoms
    elif isinstance(atoms, pd.DataFrame):
        table = AtomTable(atoms, pixel_size)
    else:
        table = AtomTable.from_positions(atoms, pixel_size=pixel_size)
    if not np.isfinite(table.positions_yx).all():
        raise AtomnbError("the atoms' positions hold NaN or infinite values: drop those rows first.")
    if species is None:
        return table
    if len(species) != len(table):
        raise AtomnbError(f"species must name each of the {len(table)} atoms, got {len(species)} names.")
    return AtomTable(
        table.df.assign(species=np.asarray(species, object)), table.pixel_size, table.shape, table.provenance
    )


def build_graph(atoms, *, rules, species=None, pixel_size: float | None = None) -> StructureGraph:
    """Bonds and rings of the atoms of one frame.

    Parameters
    ----------
    atoms : AtomTable of one frame, DataFrame with `y, x` in px, or positions (N, 2) in px
    rules : name of a rule set, path of a YAML file, or RuleSet
    species : (N,), replaces the table's column
    pixel_size : Å, for positions without a table

    Returns
    -------
    StructureGraph

    Raises
    ------
    AtomnbError
        Positions that are not finite, two atoms at one place, several frames at once.
    RulesError
        Species that the rules do not know.

    Notes
    -----
    Atoms that are just 'column' get their species by site and brightness first; where a network named the columns
    of a crystal with two kinds of sites, its word is weighed against their brightness (`atomnb.graph.species`), and
    dropped with a RangeWarning if it has them the wrong way round. By rules without chemistry, atoms that stand out by
    their brightness are foreign (`atomnb.graph.standouts`).
    Positions are brought to the scale in which the crystal's bond has the length the rules give, so a pixel size
    that is missing or 10 % off changes nothing.
    """
    rules = load_rules(rules)
    table = as_atoms(atoms, species=species, pixel_size=pixel_size)
    if table.df["frame"].nunique() > 1:
        raise AtomnbError("the atoms are of several frames: build one graph per frame, with atoms.in_frame(t).")
    _check(table, rules)
    if is_misnamed(table, rules):
        warn(MISNAMED.format(rules=rules.name), RangeWarning, stacklevel=2)
        table = replace(table, df=table.df.drop(columns="species_score").assign(species=COLUMN))
    table = _named(table, rules)
    graph = _draw(table, rules, table.df["species"].to_numpy(str), _scores(table), np.ones(len(table), bool))
    if BRIGHT in rules.species and DARK in rules.species:
        return _with_standouts(graph, table)
    if not _can_weigh(table, rules):
        return graph
    content = weigh_contents(table, graph.sites, rules)
    return _draw(table, rules, content.names.astype(str), content.scores, ~content.empty)


def _with_standouts(graph: StructureGraph, table: AtomTable) -> StructureGraph:
    """The graph with the species of atoms that stand out by their brightness."""
    found = find_standouts(graph, table.df["intensity"].to_numpy(float))
    out = found.names != ""
    if not out.any():
        return graph
    names, scores = np.where(out, found.names, graph.species), np.where(out, found.scores, graph.species_score)
    return _draw(table, graph.rules, names.astype(str), scores, np.ones(len(table), bool))


def _scores(table: AtomTable) -> np.ndarray:
    return table.df["species_score"].to_numpy(float) if "species_score" in table.df else np.ones(len(table))


def _can_weigh(table: AtomTable, rules: RuleSet) -> bool:
    """Whether network and brightness can be weighed: columns on two kinds of sites, with both at hand."""
    both = "species_score" in table.df and bool(np.isfinite(table.df["intensity"]).any())
    return both and rules.projected and len(rules.host.sites) == 2


def _draw(table: AtomTable, rules: RuleSet, names, scores, there) -> StructureGraph:
    """Bonds and rings of the atoms that are `there` (N,), by these species."""
    kinds = {name: rules.of(name) for name in np.unique(names)}
    symbols = np.array([kinds[n].symbol for n in names], object)
    part = there & ~np.isin(names, rules.ignored)
    scale, ranges = _scale_and_ranges(table, symbols, part, rules)
    points = table.positions_yx * scale
    part &= ~_found_twice(points, symbols, part, table.df["score"].to_numpy(float), ranges)
    errors = _errors(table, scale)
    neighbors = _bonds(points, symbols, errors, part, ranges, kinds, names, rules)
    rings = find_rings(points, neighbors)
    host = _host(points, neighbors, rings, rules)
    homes = np.array([kinds[n].site or "" for n in names], object)
    sites = _sites(neighbors, homes, rules.host.sites)
    is_open = ~part | _near_border(table, points, scale, MARGIN * host.longest)
    return StructureGraph(
        points, errors, names, scores, symbols, sites, homes == sites, part, neighbors, rings, is_open, host, scale,
        table.pixel_size, rules,
    )  # fmt: skip


def _found_twice(points: np.ndarray, symbols: np.ndarray, part: np.ndarray, score: np.ndarray, ranges) -> np.ndarray:
    """Mask (N,) of the less certain ones of atoms that stand at one place: the network saw an atom twice.

    Where scores tell no difference, as among positions from elsewhere, it is for the user to say which one is wrong.
    """
    twice, rows, present = np.zeros(len(points), bool), np.flatnonzero(part), set(symbols[part])
    shortest = min((high for pair, (_, high) in ranges.items() if present.issuperset(pair)), default=0.0)
    near = cKDTree(points[rows]).query_pairs(ONE_PLACE * shortest) if len(rows) else ()
    for i, j in ((rows[a], rows[b]) for a, b in near):
        if np.isfinite(score[[i, j]]).all() and score[i] != score[j]:
            twice[i if score[i] < score[j] else j] = True
    return twice


def _check(table: AtomTable, rules: RuleSet) -> None:
    """Two atoms at one place, or species of which none belongs to the crystal, are errors."""
    twins = cKDTree(table.positions_yx).query_pairs(SAME_PLACE, output_type="ndarray") if len(table) else []
    if len(twins):
        named = ", ".join(f"{i} and {j}" for i, j in twins[:5])
        raise AtomnbError(f"two atoms stand at one place: rows {named}; leave one of each pair out.")
    if len(table) < A_FEW or _unnamed(table, rules).any():
        return
    names = sorted({str(name) for name in table.df["species"]})
    if any(rules.of(name).site for name in names):
        return
    home = [name for name, s in rules.species.items() if s.site]
    message = (
        f"none of the atoms ({', '.join(names)}) belongs to the crystal of the rules {rules.name!r}, which is made "
        f"of {', '.join(home)}: choose rules that fit the model, or species that fit the rules."
    )
    # Nothing but known foreign atoms is what noise makes of an image, and no reason to lose the analysis.
    if not all(name in rules.species for name in names):
        raise RulesError(message)
    warn(f"{message} A model without elements, such as universal, fits any.", RangeWarning, stacklevel=2)


def _unnamed(table: AtomTable, rules: RuleSet) -> np.ndarray:
    """Mask (N,) of the atoms that are just columns where the rules ask for more than that."""
    enough = COLUMN in rules.species or ANY in rules.species
    return (table.df["species"] == COLUMN).to_numpy() & (not enough)


def _named(table: AtomTable, rules: RuleSet) -> AtomTable:
    """The table with species for those atoms that are just columns; what a model did name keeps its name."""
    unnamed = _unnamed(table, rules)
    if not unnamed.any():
        return table
    all_columns = replace(table, df=table.df.assign(species=COLUMN))
    told = assign_species(all_columns, rules=rules, neighbors=_any_bonds(table, rules))
    if unnamed.all():
        return told
    own = {
        "species": table.df["species"].to_numpy(),
        "species_score": _scores(table),
        "site_score": np.ones(len(table)),
    }
    df = told.df.assign(**{k: np.where(unnamed, told.df[k], v) for k, v in own.items() if k in told.df})
    return replace(told, df=df)


def _any_bonds(table: AtomTable, rules: RuleSet) -> Neighbors:
    """The most probable bonds when nothing is known of the species: any two may bond that some two of the rules may."""
    yx = table.positions_yx
    spacing = measure_spacing(yx)
    if spacing is None or not rules.ranges:
        return neighbors_radius(yx, 1.0)
    scale = rules.host.bond / spacing if rules.host.bond else table.pixel_size or 1.0
    widest = min(low for low, _ in rules.ranges.values()), max(high for _, high in rules.ranges.values())
    most = max(s.valence for s in rules.species.values() if s.site)
    return find_bonds(
        yx * scale, COLUMN, ranges={(COLUMN, COLUMN): widest}, valences={COLUMN: most},
        errors_yx=_errors(table, scale), least_angle_deg=rules.least_angle_deg,
    )  # fmt: skip


def _errors(table: AtomTable, scale: float) -> np.ndarray:
    """Standard errors (N, 2), Å, where unknown those of a usual image."""
    known = np.nan_to_num(table.errors_yx * scale, nan=UNKNOWN_ERROR, posinf=UNKNOWN_ERROR)
    return np.hypot(known, LEAST_ERROR)


def _scale_and_ranges(table, symbols, part, rules: RuleSet):
    """Å per pixel that gives the crystal its bond length, and the range of every pair of symbols at hand."""
    yx = table.positions_yx[part]
    spacing = measure_spacing(yx) if len(yx) else None
    if spacing is None:
        return table.pixel_size or 1.0, dict(rules.ranges)
    scale = rules.host.bond / spacing if rules.host.bond else table.pixel_size or 1.0
    ranges = dict(rules.ranges) or {("X", "X"): (0.4 * spacing * scale, scale * _first_gap(yx, spacing))}
    if rules.projected:
        widest = (min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
        kinds = sorted(set(symbols))
        ranges |= {(a, b): widest for a in kinds for b in kinds if a <= b and (a, b) not in ranges}
    elif rules.host.bond:
        ranges = _to_foreign(symbols, rules) | ranges
    return scale, ranges


def _to_foreign(symbols, rules: RuleSet) -> dict[tuple[str, str], tuple[float, float]]:
    """Range (Å) of the bonds between the atoms of a flat sheet and elements without an entry in the rules."""
    home = {s.symbol for s in rules.species.values() if s.site}
    foreign = set(symbols) - {s.symbol for s in rules.species.values()}
    ranges = {}
    for pair in ((a, b) for a in home for b in foreign):
        low, high = bond_range(*pair)
        bond = rules.host.bond
        ranges[tuple(sorted(pair))] = (min(low, NEAREST * bond), min(high, FARTHEST * bond))
    return ranges


def _first_gap(yx: np.ndarray, spacing: float) -> float:
    """Length that parts the first shell of neighbours from the second: the middle of the first wide step."""
    count = min(_SHELLS + 1, len(yx))
    distance = np.median(cKDTree(yx).query(yx, k=count)[0][:, 1:], axis=0)
    if len(distance) <= _FEWEST:
        return 1.3 * spacing
    width = np.log(distance[_FEWEST:] / distance[_FEWEST - 1 : -1])
    step = _FEWEST - 1 + np.argmax(width >= _AS_WIDE * width.max())
    return float(np.sqrt(distance[step] * distance[step + 1]))


def _bonds(points, symbols, errors, part, ranges, kinds, names, rules) -> Neighbors:
    """The most probable bonds among the atoms that are part of the net, numbered as in the table."""
    valences = {kinds[n].symbol: kinds[n].valence for n in np.unique(names)}
    doubts = {kinds[n].symbol: FOREIGN_DOUBT for n in np.unique(names) if not kinds[n].site}
    found = find_bonds(
        points[part], symbols[part], ranges=ranges, valences=valences, errors_yx=errors[part],
        least_angle_deg=rules.least_angle_deg, doubts=doubts,
    )  # fmt: skip
    rows = np.flatnonzero(part)
    return found._replace(pairs=rows[found.pairs].reshape(-1, 2), n_atoms=len(points))


def _host(points, neighbors: Neighbors, rings: Rings, rules: RuleSet) -> HostNet:
    """The rules' net with the area per atom measured here; what the rules leave open is what is usual here."""
    length = neighbors.distances
    bond = rules.host.bond or (float(np.median(length)) if len(length) else 1.0)
    coordination = rules.host.coordination or _mode(neighbors.coordination, default=3)
    ring = rules.host.ring or usual_size(rings)
    area = rings.areas[rings.sizes == ring]
    perfect = {3: 1.299, 4: 1.0, 6: 0.866}.get(coordination, 1.0) * bond**2
    per_atom = float(np.median(area)) / ((ring - 2) / 2) if len(area) > 3 else perfect
    shortest, longest = np.percentile(length, (5, 95)).tolist() if len(length) else (bond, bond)
    return HostNet(bond, shortest, longest, coordination, ring, per_atom)


def _mode(values: np.ndarray, *, default: int) -> int:
    values = values[values > 0]
    return int(np.bincount(values).argmax()) if len(values) else default


def _sites(neighbors: Neighbors, homes: np.ndarray, kinds: tuple[str, ...]) -> np.ndarray:
    """Kind of host site of each atom (N,): the one its first and second neighbours vote for.

    Neighbours are on the other kind of site, their neighbours on the same one; nine of them outvote the species
    itself, so an antisite or a dopant is known by its place.
    """
    if len(kinds) == 1:
        return np.full(len(homes), kinds[0], object)
    i, j = neighbors.pairs.T
    n = neighbors.n_atoms
    one = csr_matrix((np.ones(2 * len(i)), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    value = np.where(homes == kinds[0], 1.0, np.where(homes == kinds[1], -1.0, 0.0))
    second = one @ (one @ value) - neighbors.coordination * value
    vote = second - 2 * (one @ value) + 0.5 * value
    return np.where(vote >= 0, kinds[0], kinds[1]).astype(object)


def _near_border(table: AtomTable, points: np.ndarray, scale: float, margin: float) -> np.ndarray:
    """Atoms (N,) within `margin` (Å) of the image's border, or of the convex hull of the atoms without an image."""
    if table.shape is not None:
        high = (np.array(table.shape) - 1) * scale
        return ((points < margin) | (points > high - margin)).any(axis=1)
    if len(points) < 4:
        return np.ones(len(points), bool)
    try:
        faces = ConvexHull(points).equations
    except QhullError:  # all on one line
        return np.ones(len(points), bool)
    return (points @ faces[:, :2].T + faces[:, 2]).max(axis=1) > -margin
