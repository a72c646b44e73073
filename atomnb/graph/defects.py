"""Defects by deviation from the perfect crystal: none of them need ever have been seen before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from atomnb.data.atoms import AtomTable
from atomnb.data.micrograph import Micrograph, as_micrograph
from atomnb.errors import AtomnbError
from atomnb.graph.anomalies import Group, find_groups
from atomnb.graph.confidence import confidence_of
from atomnb.graph.naming import (
    bond_code,
    formula_of,
    kind_of,
    name_of,
    ring_atoms,
    ring_code,
    surrounding_atoms,
    usual_content,
)
from atomnb.graph.rules import load_rules
from atomnb.graph.structure import StructureGraph, as_atoms, build_graph
from atomnb.graph.topology import topology_hash
from atomnb.graph.vacant import VacantSites

COLUMNS: Mapping[str, str] = {
    "formula": "object",
    "name": "object",
    "kind": "object",
    "topology": "object",
    "y": "float64",
    "x": "float64",
    "confidence": "float64",
    "atoms": "object",
    "core": "object",
    "rings": "object",
    "missing": "int64",
    "bonds": "object",
    "distorted": "bool",
    "orientation": "float64",
    "extent": "float64",
    "complete": "bool",
    "frame": "int64",
}
"""Columns of a table of defects and their types; `find_defects` says what they hold."""

DISTORTED_DEG = 15.0
"""Spread (standard deviation) of a dopant's bond angles beyond which it is distorted (arXiv:1809.04256)."""


def find_defects(
    atoms,
    *,
    rules,
    species=None,
    pixel_size: float | None = None,
    names: Mapping[str, str] | None = None,
    image=None,
) -> pd.DataFrame:
    """Find and name every defect among atoms from anywhere.

    Parameters
    ----------
    atoms : AtomTable, DataFrame with `y, x` in px, or positions (N, 2) in px
        With several frames each is looked at by itself.
    rules : name of a rule set (`atomnb.graph.rules.list_rules()`), path of a YAML file, or RuleSet
    species : (N,), replaces the table's column
    pixel_size : Å, for atoms without a table
    names : topology → name, given by the user; they go before all others
    image : Micrograph, or array (H, W) or (T, H, W), in which the atoms were found and their intensities fitted: an
        atom that is there but was not seen makes a false vacancy, and nothing but the image can tell

    Returns
    -------
    pandas.DataFrame, one row per defect, the most certain first:
        formula : what sits there and what it is bonded to ('Si1C3'; a vacancy is Va: 'Va1C3')
        name, kind : systematic name ('unseen: …' where there is none); dopant, vacancy, antisite, rotation, …
        topology : hash of its bond graph with its rings; rotated, mirrored and distorted copies share it
        y, x : centre, px
        confidence : probability that it is there as named
        atoms : rows of the atom table that the formula counts, dopants first; core : all atoms of its rings, too
        rings : sizes of the rings that are not the crystal's; missing : columns missing (negative: too many)
        bonds : bonds of each dopant ('3f4f'); distorted : spread of a dopant's bond angles over 15°
        orientation : of its long axis against x, rad in [-π/2, π/2), y downwards
        extent : Å from the centre to the farthest atom
        complete : no part of it is so near the border that its neighbours may lie outside
        frame : as in the atom table

    Raises
    ------
    AtomnbError
        Positions that are not finite, two atoms at one place, an image in which they cannot have been found.
    RulesError
        Unknown or impossible rules, species the rules do not know.

    Notes
    -----
    The image is asked about places where a bond is missing and nothing stands. It is not asked of holes whose rim has
    closed or has fewer such places than atoms are missing, nor where fewer than two dozen atoms of the kind stand near.

    References
    ----------
    Ziatdinov et al., arXiv:1809.04256: dopants and their bonds as connected parts of a graph of distances.

    Examples
    --------
    >>> import atomnb
    >>> from atomnb.simulate.structures import create_structure
    >>> sheet = create_structure("graphene", size_angstrom=(30, 30), options={"stone_wales": 1})
    >>> atomnb.find_defects(sheet.columns().positions_yx, rules="graphene", pixel_size=1.0)["name"].tolist()
    ['Stone–Wales 55-77']
    """
    rules = load_rules(rules)
    table = as_atoms(atoms, species=species, pixel_size=pixel_size)
    frames = np.unique(table.df["frame"].to_numpy())
    graphs = [build_graph(table.in_frame(frame), rules=rules) for frame in frames]
    return defects_of_graphs(graphs, table, names=names, image=None if image is None else _image_of(table, image))


def _image_of(table: AtomTable, image) -> Micrograph:
    """The image, if the atoms can have been found in it."""
    image = as_micrograph(image)
    frames = table.df["frame"].unique()
    if len(frames) > 1 and not (image.is_stack and frames.max() < image.n_frames):
        raise AtomnbError(
            f"the atoms are of {len(frames)} frames, the image has {image.n_frames}: pass the whole stack."
        )
    inside = (table.positions_yx >= -0.5) & (table.positions_yx <= np.array(image.shape) - 0.5)
    if not inside.all():
        raise AtomnbError(
            f"atoms lie outside the image of {image.shape[0]} × {image.shape[1]} px: pass the image in which they were "
            "found, neither cropped nor resampled."
        )
    return image


def defects_of_graphs(
    graphs, atoms: AtomTable, *, names: Mapping[str, str] | None = None, image: Micrograph | None = None
) -> pd.DataFrame:
    """The table of `find_defects` from graphs that `build_graph` made already.

    Parameters
    ----------
    graphs : StructureGraph, one per frame that occurs in `atoms`, in order
    atoms : AtomTable they were made from
    names : topology → name
    image : in which they were found; missing atoms are held against it where intensities were fitted
    """
    frames = atoms.df["frame"].to_numpy()
    filled = [g for g in graphs if len(g)]
    rows = []
    for frame, graph in zip(np.unique(frames), filled, strict=True):
        members, part = np.flatnonzero(frames == frame), atoms.in_frame(frame)
        fitted = image is not None and {"intensity", "sigma"} <= set(part.df)
        vacant = VacantSites(image.frame(frame if image.is_stack else 0), graph, part) if fitted else None
        rows += [
            _row(group, graph, part, members, names or {}, vacant) | {"frame": frame} for group in find_groups(graph)
        ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))
    return table.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def _row(group: Group, graph: StructureGraph, table, members, names: Mapping[str, str], vacant) -> dict:
    formula = formula_of(group, graph)
    topology = topology_of(group, graph)
    counted = _counted_atoms(group, graph)
    core = core_atoms(group, graph)
    centre = _centre(group, graph)
    offset = graph.positions_yx[core] - centre
    return {
        "formula": formula,
        "name": names.get(topology) or name_of(group, graph, formula, topology),
        "kind": kind_of(group, graph),
        "topology": topology,
        "y": centre[0] / graph.scale,
        "x": centre[1] / graph.scale,
        "confidence": confidence_of(group, graph, table, vacant),
        "atoms": tuple(members[counted].tolist()),
        "core": tuple(members[core].tolist()),
        "rings": ring_code(group, graph),
        "missing": round(group.missing),
        "bonds": bond_code(group, graph),
        "distorted": bool(_angle_spread(group, graph) > DISTORTED_DEG),
        "orientation": _orientation(group, graph, offset),
        "extent": float(np.hypot(*offset.T).max()) if len(offset) else 0.0,
        "complete": not graph.open[core].any(),
    }


def core_atoms(group: Group, graph: StructureGraph) -> np.ndarray:
    """All atoms of a defect: dopants, what is bonded to them, and every atom of its rings."""
    rings = [graph.rings.of(r) for r in group.all_rings]
    parts = [group.dopants, group.bonded, group.dangling, *rings]
    return np.unique(np.concatenate(parts).astype(int))


def topology_of(group: Group, graph: StructureGraph) -> str:
    """Hash of the atoms of a defect with the number of their bonds, the bonds among them and the rings.

    Rotated, mirrored and distorted copies have the same one, and so has one beside another defect: foreign atoms of the
    rings that belong to that count as what is usual on their sites.
    """
    core = core_atoms(group, graph)
    own = graph.at_home[core] | np.isin(core, group.dopants)
    pairs = graph.neighbors.pairs[graph.bonds_of(core)]
    pairs = np.searchsorted(core, pairs[np.isin(pairs, core).all(axis=1)])
    bonds = graph.coordination[core]
    content = [
        sorted((graph.rules.of(graph.species[a]).content if mine else usual_content(graph, graph.sites[a])).items())
        for a, mine in zip(core, own, strict=True)
    ]
    labels = [f"{what} {n}" for what, n in zip(content, bonds, strict=True)]
    rings = [np.searchsorted(core, graph.rings.of(r)) for r in group.all_rings]
    return topology_hash(labels, pairs, rings)


def _counted_atoms(group: Group, graph: StructureGraph) -> np.ndarray:
    atoms = np.concatenate([group.dopants, surrounding_atoms(group, graph)])
    return atoms if len(atoms) else ring_atoms(group, graph)


def _centre(group: Group, graph: StructureGraph) -> np.ndarray:
    """Å: the middle of the dopants, else of the empty sites, else of the rings, else of the atoms."""
    if len(group.dopants):
        return graph.positions_yx[group.dopants].mean(axis=0)
    if len(group.empty_yx) and round(group.missing) > 0:
        return group.empty_yx.mean(axis=0)
    if len(group.rings):
        return np.average(graph.rings.centres_yx[group.rings], axis=0, weights=graph.rings.areas[group.rings])
    return graph.positions_yx[group.dangling].mean(axis=0)


def _orientation(group: Group, graph: StructureGraph, offset: np.ndarray) -> float:
    """Angle of the long axis of the dopants where there are several, else of all atoms; NaN where no axis is longer."""
    points = graph.positions_yx[group.dopants] if len(group.dopants) > 1 else offset
    if len(points) < 2:
        return np.nan
    value, axis = np.linalg.eigh(np.cov(points.T))
    if value[1] - value[0] < 0.05 * value[1]:
        return np.nan
    angle = np.arctan2(axis[0, 1], axis[1, 1])
    return float((angle + np.pi / 2) % np.pi - np.pi / 2)


def _angle_spread(group: Group, graph: StructureGraph) -> float:
    """Largest spread (°) of the angles between neighbouring bonds of a dopant; 0 without dopants."""
    spread = 0.0
    for atom in group.dopants:
        direction = np.sort(bond_directions(graph, atom))
        if len(direction) > 1:
            step = np.diff(np.concatenate([direction, direction[:1] + 2 * np.pi]))
            spread = max(spread, float(np.degrees(step).std()))
    return spread


def bond_directions(graph: StructureGraph, atom: int) -> np.ndarray:
    """Directions of an atom's bonds against x, rad, y downwards."""
    return np.arctan2(*graph.bond_vectors(atom).T)
