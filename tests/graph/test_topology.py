"""The topology hash: the same for every way to write a graph down, another for every isomer."""

import subprocess
import sys
from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.rings import find_rings
from atomnb.graph.topology import short_form, topology_hash

HEXAGON = [(i, (i + 1) % 6) for i in range(6)]


def around(sheet, *, reach: int = 2) -> str:
    """Hash of the silicon atoms with everything up to `reach` bonds away, and the rings that lie in it whole."""
    bonds = sheet.bonds()
    rings = find_rings(sheet.positions_yx, bonds)
    graph = bonds.to_networkx()
    seeds = np.flatnonzero(sheet.species == "Si").tolist()
    ball = set(nx.multi_source_dijkstra_path_length(graph, seeds, cutoff=reach, weight=None))
    number = {atom: k for k, atom in enumerate(sorted(ball))}
    pairs = [(number[i], number[j]) for i, j in bonds.pairs.tolist() if i in ball and j in ball]
    inside = [rings.of(r).tolist() for r in range(len(rings.sizes)) if set(rings.of(r)) <= ball]
    return topology_hash(sheet.species[sorted(ball)], pairs, [[number[a] for a in ring] for ring in inside])


def random_graph(rng):
    """A random labelled graph with some of its cycles as rings."""
    graph = nx.gnm_random_graph(int(rng.integers(4, 14)), int(rng.integers(4, 20)), seed=int(rng.integers(1 << 30)))
    labels = rng.choice(["C", "Si", "N"], len(graph))
    cycles = [c for c in nx.cycle_basis(graph) if rng.random() < 0.7]
    return labels, np.array(list(graph.edges)), cycles


@pytest.mark.parametrize("seed", range(40))
def test_numbering_and_order_change_nothing(seed):
    rng = np.random.default_rng(seed)
    labels, pairs, rings = random_graph(rng)
    wanted = topology_hash(labels, pairs, rings)
    for _ in range(5):
        new = rng.permutation(len(labels))
        moved = np.empty(len(labels), labels.dtype)
        moved[new] = labels
        turned = rng.permuted(rng.permutation(new[pairs]), axis=1)
        walked = [np.roll(new[ring], rng.integers(9))[:: rng.choice([-1, 1])] for ring in rings]
        rng.shuffle(walked) if len({len(w) for w in walked}) == 1 else walked.reverse()
        assert topology_hash(moved, turned, walked) == wanted


def test_it_is_the_same_exactly_for_isomorphic_graphs():
    """Against networkx over all pairs of 120 small graphs, many of them alike."""
    rng = np.random.default_rng(0)
    graphs, hashes = [], []
    for _ in range(120):
        graph = nx.gnm_random_graph(5, int(rng.integers(3, 7)), seed=int(rng.integers(1 << 30)))
        nx.set_node_attributes(graph, {n: str(rng.choice(["C", "Si"])) for n in graph}, "label")
        graphs.append(graph)
        hashes.append(topology_hash([graph.nodes[n]["label"] for n in range(5)], list(graph.edges)))
    same = nx.algorithms.isomorphism.categorical_node_match("label", "")
    alike = 0
    for (a, x), (b, y) in combinations(zip(graphs, hashes, strict=True), 2):
        isomorphic = nx.is_isomorphic(a, b, node_match=same)
        alike += isomorphic
        assert (x == y) == isomorphic
    assert alike > 20


def test_ortho_meta_and_para_are_three():
    found = {
        where: topology_hash(["Si" if i in where else "C" for i in range(6)], HEXAGON, [range(6)])
        for where in combinations(range(6), 2)
    }
    by_distance = {min(b - a, 6 - b + a): h for (a, b), h in found.items()}
    assert len(set(found.values())) == len(set(by_distance.values())) == 3
    assert all(h == by_distance[min(b - a, 6 - b + a)] for (a, b), h in found.items())


def test_the_faces_tell_apart_what_bonds_alone_do_not():
    """Two six-rings and the ten-ring round them: which two are faces says which bond lies inside."""
    pairs = [*HEXAGON, (1, 6), (6, 7), (7, 8), (8, 9), (9, 0)]
    small, other, large = range(6), [0, 1, 6, 7, 8, 9], [1, 2, 3, 4, 5, 0, 9, 8, 7, 6]
    assert topology_hash("C" * 10, pairs, [small, other]) != topology_hash("C" * 10, pairs, [small, large])


def test_labels_rings_and_size_all_count():
    plain = topology_hash(["C"] * 6, HEXAGON)
    assert len({plain, topology_hash(["N"] * 6, HEXAGON), topology_hash(["C"] * 6, HEXAGON, [range(6)])}) == 3
    assert topology_hash(["C", "C"], []) != topology_hash(["C"], [])
    assert len(plain) == 16 and short_form(plain) == plain[:4]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    "options", [{"three_fold": 1}, {"four_fold": 1}, {"trimers": 1}, {"dimers": 1, "dimer": "Si2C5"}]
)
def test_a_defect_has_one_hash_however_it_lies(structure, turned, options, mirror):
    options = {"three_fold": 0, "four_fold": 0, "dimers": 0, **options}
    wanted = around(structure("graphene-si", seed=0, **options))
    for seed in range(1, 4):
        sheet = structure("graphene-si", seed=seed, **options)
        centre = np.array(sheet.defects[0].yx_angstrom)
        moved = np.mod(sheet.positions_yx - centre + np.diag(sheet.cell) / 2, np.diag(sheet.cell))
        noisy = moved + np.random.default_rng(seed).normal(0, 0.03, moved.shape)
        order = np.random.default_rng(seed).permutation(len(moved))
        other = sheet._replace(
            positions_yx=turned(noisy, 37 * seed, mirror)[order], species=sheet.species[order], cell=None
        )
        assert around(other) == wanted


def test_defects_of_different_make_have_different_hashes(structure):
    none = {"three_fold": 0, "four_fold": 0, "dimers": 0}
    kinds = [
        {"three_fold": 1},
        {"four_fold": 1},
        {"trimers": 1},
        *({"dimers": 1, "dimer": d} for d in ("Si2C4", "Si2C5", "Si2C6")),
    ]
    found = [around(structure("graphene-si", **{**none, **kind})) for kind in kinds]
    assert len(set(found)) == len(kinds)


def test_the_hash_is_that_of_every_process_and_platform():
    """Written down once: a change of it would orphan every library."""
    labels, rings = ["Si", "C", "C", "C", "C", "C"], [range(6)]
    here = topology_hash(labels, HEXAGON, rings)
    script = f"from atomnb.graph.topology import topology_hash as h; print(h({labels}, {HEXAGON}, [range(6)]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here == "8e0072ec14ecc3c2"


def test_large_symmetric_graphs_take_no_time(honeycomb):
    sheet = honeycomb(10, 17)
    bonds = sheet.bonds()
    rings = find_rings(sheet.positions_yx, bonds)
    walks = [rings.of(r) for r in range(len(rings.sizes))]
    new = np.random.default_rng(0).permutation(bonds.n_atoms)
    one = topology_hash(sheet.species, bonds.pairs, walks)
    assert one == topology_hash(sheet.species, new[bonds.pairs], [new[w] for w in walks])


def test_atoms_that_do_not_exist():
    with pytest.raises(AtomnbError, match="at least one atom"):
        topology_hash([], [])
    with pytest.raises(AtomnbError, match=r"0 to 1.*\[2\]"):
        topology_hash(["C", "C"], [(0, 2)])
    with pytest.raises(AtomnbError, match=r"\[-1\]"):
        topology_hash(["C", "C"], [(0, 1)], [[-1, 0, 1]])
