"""Elements and column contents where the network only says "column": the site by geometry, the content by brightness.

In an annular dark-field image of a thin object a column is about as bright as Σ Z^1.7 over its atoms. On which kind of
site an atom stands is told by its whole grain (`atomnb.graph.site_votes`); what stands there by its brightness against
that of the usual content of such sites, as the most probable component of a mixture whose centres the rules and Z^1.7
give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from atomnb.data.atoms import AtomTable
from atomnb.data.elements import ATOMIC_NUMBERS
from atomnb.errors import AtomnbError
from atomnb.graph.neighbors import Neighbors
from atomnb.graph.rings import Rings, find_rings, usual_size
from atomnb.graph.rules import RuleSet, Species, load_rules
from atomnb.graph.site_votes import vote_on_sides

EXPONENT = 1.7
"""Brightness in an annular dark-field image goes with this power of the atomic number (1.6 to 1.8 by detector)."""

RARE = 0.03
"""Share expected beforehand of each content other than the usual one of a site."""

LEAST_SPREAD = 0.05
"""Standard deviation of ln(brightness) among equal columns, at least: their shapes and backgrounds differ."""

LEAST_COLUMNS = 8
"""Fewer columns of a kind do not tell how bright it is."""

ABOVE_HALF = 0.85
"""One atom of two is less than half as bright as both: the upper one focuses the beam on the lower (abTEM)."""

APART = 3.0
"""Two kinds of columns nearer in brightness than this many standard deviations of one are not told apart by it: where
their spreads differ a little, each outlier would be one of the other kind."""

DOUBT = 0.03
"""What a network rules out may still be so with this probability: it was not taught everything."""


def assign_species(atoms: AtomTable, *, rules, neighbors, exponent: float = EXPONENT) -> AtomTable:
    """The same table with `species` named by the rules, and the probabilities of that name and of the kind of site.

    These are the columns `species_score` and `site_score`; both are 1/2 where the two kinds of sites differ too little
    in brightness for all atoms of a grain together to tell them apart.

    Parameters
    ----------
    atoms : AtomTable of one frame with `intensity`
    rules : name of a rule set, path of a YAML file, or RuleSet
    neighbors : Neighbors of these atoms, drawn without regard to their species, without crossings
    exponent : of the atomic number, in brightness

    Raises
    ------
    AtomnbError
        Without intensities there is nothing to tell the species by, unless the crystal has one kind of site: then all
        atoms are taken for its own.
    """
    rules = load_rules(rules)
    intensity = atoms.df["intensity"].to_numpy(float)
    dark = not np.isfinite(intensity).any()
    if dark and len(rules.host.sites) == 1:
        name = next(name for name, s in rules.species.items() if s.site)
        return replace(atoms, df=atoms.df.assign(species=name, species_score=1.0))
    if dark and len(atoms):
        raise AtomnbError(
            "the atoms have neither species nor intensities: use a model that names them, pass `species`, or analyse "
            "the image with refine=True."
        )
    bright = np.log(np.where(intensity > 0, intensity, np.nan))
    bright = np.where(np.isfinite(bright), bright, np.nanmin(bright) if np.isfinite(bright).any() else 0.0)
    rings = find_rings(atoms.positions_yx, neighbors)
    sites, site_scores = sites_by_contrast(bright, neighbors, rings, rules, exponent)
    names, scores = _contents(bright, sites, rules, exponent)
    df = atoms.df.assign(species=names, species_score=scores * site_scores, site_score=site_scores)
    return AtomTable(df, atoms.pixel_size, atoms.shape, atoms.provenance)


def sites_by_contrast(bright: np.ndarray, neighbors: Neighbors, rings: Rings, rules: RuleSet, exponent: float):
    """Kind of host site (N,) from ln(brightness) (N,), and its probability (N,): 1/2 where brightness does not tell.

    Where the rules name no elements (M and X, A and B) the first of their sites is taken to be the brighter.
    """
    kinds = rules.host.sites
    if len(kinds) == 1 or not len(bright):
        return np.full(len(bright), kinds[0], object), np.ones(len(bright))
    sides = vote_on_sides(bright, neighbors, rings, ring_size=rules.host.ring or usual_size(rings))
    brighter, fainter = kinds
    known = elements_known(rules)
    if known and expected_brightness(_usual(rules, kinds[1]), exponent) > expected_brightness(
        _usual(rules, kinds[0]), exponent
    ):
        brighter, fainter = fainter, brighter
    return np.where(sides.brighter, brighter, fainter).astype(object), sides.probability


def elements_known(rules: RuleSet) -> bool:
    """Whether all symbols of the crystal are elements; the B of A and B is not boron."""
    return all(element in ATOMIC_NUMBERS for s in rules.species.values() if s.site for element in s.content)


def _usual(rules: RuleSet, site: str) -> Species:
    return next(s for s in rules.species.values() if s.site == site)


def expected_brightness(species: Species, exponent: float = EXPONENT) -> float:
    """Σ Z^exponent of a column; a letter that is no element ('M', 'X') counts as 1."""
    return sum(n * ATOMIC_NUMBERS.get(element, 1) ** exponent for element, n in species.content.items())


def _contents(bright: np.ndarray, sites: np.ndarray, rules: RuleSet, exponent: float):
    """Name and probability (N,) of each atom's species."""
    names = np.full(len(bright), "", object)
    scores = np.ones(len(bright))
    for site in rules.host.sites:
        here = np.flatnonzero(sites == site)
        if not len(here):
            continue
        usual = next(name for name, s in rules.species.items() if s.site == site)
        options = _options(rules, usual, exponent)
        centre = np.median(bright[here])
        spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(bright[here] - centre))))
        means = centre + np.array([shift for _, shift in options])
        prior = np.log(np.array([1.0 - RARE * (len(options) - 1), *([RARE] * (len(options) - 1))]))
        log_p = prior - 0.5 * ((bright[here, None] - means) / spread) ** 2
        log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
        best = log_p.argmax(axis=1)
        names[here] = [options[k][0] for k in best]
        scores[here] = np.exp(log_p[np.arange(len(here)), best])
    return names, scores


def _options(rules: RuleSet, usual: str, exponent: float) -> list[tuple[str, float]]:
    """The contents a site may have and ln of their brightness against the usual one's, which comes first.

    Without elements only columns of the same kind with another number of atoms can be compared.
    """
    base = expected_brightness(rules.species[usual], exponent)
    contents = {tuple(rules.species[usual].content.items()): usual}
    known = elements_known(rules)
    for name, species in rules.species.items():
        if known or set(species.content) == set(rules.species[usual].content):
            contents.setdefault(tuple(species.content.items()), name)
    return [
        (name, float(np.log(expected_brightness(rules.species[name], exponent) / base))) for name in contents.values()
    ]


class Contents(NamedTuple):
    """What stands on each site by network, place and brightness together.

    names : (N,) species by the rules; an atom that is judged not to be there keeps its name
    scores : (N,) probability of the name
    empty : (N,) bool, nothing is there: as bright as an empty site
    """

    names: np.ndarray
    scores: np.ndarray
    empty: np.ndarray


def weigh_contents(atoms: AtomTable, sites: np.ndarray, rules: RuleSet) -> Contents:
    """The most probable content of each column, by what the network says and by its brightness.

    A network that never saw a defect falls back on what it knows; the brightness of the column does not. For each site
    the usual content, the usual one of the other kind of site, a column with an atom less, and nothing compete. Their
    brightness is measured on the image itself: the median of the columns that are as they should be.

    Parameters
    ----------
    atoms : AtomTable of one frame, with `intensity` and the network's `species` and `species_score`; a `site_score`
        holds for the names as well
    sites : (N,) kind of host site of each atom
    rules : RuleSet with two kinds of sites
    """
    names = atoms.df["species"].to_numpy(str)
    of_site = atoms.df["site_score"].to_numpy(float) if "site_score" in atoms.df else np.ones(len(atoms))
    given = atoms.df["species_score"].to_numpy(float) / of_site
    there = atoms.df["score"].to_numpy(float)
    intensity = atoms.df["intensity"].to_numpy(float)
    usual = {site: _usual_measure(intensity, names, sites, site, rules) for site in rules.host.sites}
    out = Contents(names.astype(object), given * of_site, np.zeros(len(names), bool))
    if any(m is None for m in usual.values()):
        return out
    for site in rules.host.sites:
        here = np.flatnonzero((sites == site) & np.isfinite(intensity))
        options = _possible(site, usual, rules, set(names))
        said = [_network(o, names[here], given[here], there[here], rules) for o in options]
        log_p = np.stack([_log_chance(o, intensity[here]) for o in options], axis=1) + np.log(np.stack(said, axis=1))
        log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
        best = log_p.argmax(axis=1)
        out.scores[here] = np.exp(log_p[np.arange(len(here)), best]) * of_site[here]
        out.empty[here] = [options[k].name is None for k in best]
        out.names[here] = [options[k].name or names[i] for k, i in zip(best, here, strict=True)]
    return out


class _Option(NamedTuple):
    """A possible content: its name (None: nothing), its brightness with the spread, and how usual it is beforehand."""

    name: str | None
    mean: float
    spread: float
    prior: float


def _usual_measure(intensity, names, sites, site: str, rules: RuleSet) -> tuple[str, float, float] | None:
    """Most frequent species at home on a site, median of its brightness and spread; None if it hardly occurs."""
    home = [name for name, s in rules.species.items() if s.site == site]
    here = (sites == site) & np.isin(names, home) & np.isfinite(intensity)
    if here.sum() < LEAST_COLUMNS:
        return None
    centre = float(np.median(intensity[here]))
    spread = 1.4826 * float(np.median(np.abs(intensity[here] - centre)))
    found, count = np.unique(names[here], return_counts=True)
    return str(found[count.argmax()]), centre, max(spread, LEAST_SPREAD * abs(centre))


def _possible(site: str, usual: dict, rules: RuleSet, known: set[str]) -> list[_Option]:
    name, mean, spread = usual[site]
    other, its_mean, its_spread = next(u for s, u in usual.items() if s != site)
    content = rules.species[name].content
    if abs(its_mean - mean) < APART * max(spread, its_spread):
        its_mean, its_spread = mean, spread  # brightness has no say in it
    options = [_Option(name, mean, spread, 1 - 3 * RARE), _Option(other, its_mean, its_spread, RARE)]
    options.append(_Option(None, 0.0, _spread_at(0.0, mean, spread), RARE))
    for fewer, species in rules.species.items():
        less = set(species.content) == set(content) and sum(species.content.values()) < sum(content.values())
        if less and (fewer in known or not any(_same(rules, fewer, k) for k in known)):
            share = ABOVE_HALF * sum(species.content.values()) / sum(content.values())
            options.append(_Option(fewer, share * mean, _spread_at(share, mean, spread), RARE))
            break
    return options


def _same(rules: RuleSet, name: str, other: str) -> bool:
    return other in rules.species and rules.species[other].content == rules.species[name].content


def _spread_at(share: float, mean: float, spread: float) -> float:
    """Spread of a column of a share of the usual brightness: counting noise shrinks, what is not known well stays."""
    return float(np.hypot(spread * np.sqrt(max(share, 0.35)), 0.08 * mean))


def _log_chance(option: _Option, intensity: np.ndarray) -> np.ndarray:
    """ln of what is expected beforehand and of the brightness, for one content, (n,)."""
    return np.log(option.prior) - 0.5 * ((intensity - option.mean) / option.spread) ** 2 - np.log(option.spread)


def _network(option: _Option, names, given, there, rules: RuleSet) -> np.ndarray:
    """How well one content agrees with the network: its name for the column, and whether it saw an atom at all."""
    if option.name is None:
        return np.maximum(1 - there, DOUBT)
    agrees = np.array([_same(rules, option.name, name) for name in names], bool)
    return np.maximum(there, DOUBT) * np.where(agrees, np.maximum(given, DOUBT), np.maximum(1 - given, DOUBT) / 3)
