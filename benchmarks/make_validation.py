"""Make the validation images: multislice simulations of materials that the training data never shows.

Frozen-phonon PRISM (abTEM) of periodic cells with planted vacancies; training images are synthetic Gaussians.
One file per material in `benchmarks/validation/`, laid out as `benchmarks/scoring.py` reads it::

    image (x, y)      noise-free HAADF, maximum 1, float16
    sampling (2,)     Å per pixel along x and y
    columns (n, 5)    x, y (Å), sum of Z^1.7, heaviest Z, number of atoms
    vacancies (m, 2)  x, y (Å) of the columns taken out
    kv                beam energy

Run ``python benchmarks/make_validation.py`` for all, or name the materials wanted; needs extra `simulate`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import fourier_gaussian
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

FOLDER = Path(__file__).resolve().parent / "validation"

FWHM_TO_SIGMA = 1 / 2.3548
MERGE_DISTANCE = 0.6
"""Atoms nearer than this in projection (Å) make one column."""

BORDER_FREE = 3.0
"""Vacancies are planted at least this far (Å) from the border of the image."""


@dataclass(frozen=True)
class Material:
    """A specimen and how it is imaged.

    Parameters
    ----------
    build : callable
        Returns an orthorhombic periodic `ase.Atoms`, beam along z.
    pixel : float
        Å per pixel wanted (a whole number of pixels fits the cell, so it comes out slightly different).
    thermal : float or mapping
        Root-mean-square displacement per axis, Å (by element).
    vacancies : int
        Columns taken out.
    dopant : (str, str, int) or None
        (old element, new element, how many atoms).
    """

    build: Callable
    pixel: float
    kv: int
    semiangle_mrad: float
    detector_mrad: tuple[float, float]
    source_fwhm: float
    thermal: float | dict[str, float]
    vacancies: int = 4
    dopant: tuple[str, str, int] | None = None
    configurations: int = 3
    interpolation: int = 4
    slice_thickness: float = 2.2
    aberrations: dict[str, float] = field(default_factory=dict)


def hexagonal_sheet(atoms, n_x: int, n_y: int):
    """A hexagonal primitive cell as an n_x × n_y rectangular sheet with vacuum."""
    cell = atoms.cell.array
    atoms.set_cell([cell[0], cell[1], [0, 0, 12.0]])
    atoms.center(axis=2)
    both = atoms.repeat((1, 2, 1))
    both.set_cell([cell[0], cell[0] * np.round(-2 * cell[1][0] / cell[0][0]) + 2 * cell[1], [0, 0, 12.0]])
    both.wrap()
    return both.repeat((n_x, n_y, 1))


def cell_of(sites, lengths):
    """An orthorhombic cell of (symbol, x, y, z) in fractions of its three lengths."""
    from ase import Atoms

    positions = [site[1:] for site in sites]
    return Atoms([site[0] for site in sites], scaled_positions=positions, cell=lengths, pbc=True)


def boron_nitride():
    from ase.build import graphene

    return hexagonal_sheet(graphene(formula="BN", a=2.504, vacuum=6.0), 13, 8)


def tungsten_diselenide():
    from ase.build import mx2

    return hexagonal_sheet(mx2("WSe2", kind="2H", a=3.282, thickness=3.34, vacuum=5.0), 11, 6)


def platinum_diselenide():
    from ase.build import mx2

    return hexagonal_sheet(mx2("PtSe2", kind="1T", a=3.727, thickness=2.53, vacuum=5.0), 9, 5)


def tungsten_ditelluride():
    """One layer of WTe2 in its distorted (1T') form: no hexagonal symmetry left."""
    sites = [
        ("W", 0, 0.6007, 0.5), ("W", 0.5, 0.9602, 0.5152), ("Te", 0, 0.8572, 0.6552),
        ("Te", 0, 0.2074, 0.4037), ("Te", 0.5, 0.3534, 0.6111), ("Te", 0.5, 0.7014, 0.3599),
    ]  # fmt: skip
    cell = cell_of(sites, [3.477, 6.249, 14.018])
    cell.translate([0.9, 0.4, 0])
    cell.wrap()
    return cell.repeat((10, 6, 1))


def graphene_with_topological_defects():
    """Graphene with a Stone–Wales rotation and a 5-8-5 divacancy, bonds relaxed in the plane."""
    from ase.build import graphene

    sheet = hexagonal_sheet(graphene(a=2.46, vacuum=6.0), 15, 9)
    box = sheet.cell.lengths()[:2]
    xy = sheet.positions[:, :2]
    first, second = bond_near(xy, box, (0.3 * box[0], 0.35 * box[1]))
    middle = 0.5 * (xy[first] + nearest_image(xy[second], xy[first], box))
    for i in (first, second):
        dx, dy = nearest_image(xy[i], middle, box) - middle
        sheet.positions[i, :2] = middle + np.array([-dy, dx])
    gone = bond_near(xy, box, (0.7 * box[0], 0.7 * box[1]))
    del sheet[list(gone)]
    sheet.positions[:, :2] = relax_bonds(sheet.positions[:, :2], box, length=1.42)
    return sheet


def wrapped(xy, box):
    """Positions folded into [0, box)."""
    folded = xy % box
    return np.where(folded >= box, 0.0, folded)


def nearest_image(point, reference, box):
    return point - box * np.round((point - reference) / box)


def bond_near(xy, box, target):
    """Indices of the two bonded atoms whose bond is nearest to `target`."""
    pairs = cKDTree(wrapped(xy, box), boxsize=box).query_pairs(1.6, output_type="ndarray")
    ends = np.array([nearest_image(xy[j], xy[i], box) for i, j in pairs])
    middles = 0.5 * (xy[pairs[:, 0]] + ends)
    return tuple(int(i) for i in pairs[np.argmin(np.hypot(*(middles - target).T))])


def relax_bonds(xy, box, *, length, cutoff=2.6):
    """Positions (n, 2) in Å that minimise springs along bonds and, weaker, between second neighbours."""
    near = cKDTree(wrapped(xy, box), boxsize=box).query_pairs(cutoff, output_type="ndarray")
    bonds = three_shortest(xy, box, near)
    partners = [set() for _ in xy]
    for i, j in bonds:
        partners[i].add(j)
        partners[j].add(i)
    second = sorted({(i, k) for i, js in enumerate(partners) for j in js for k in partners[j] if k > i})
    second = [pair for pair in second if pair not in set(bonds)]
    pairs = np.array(bonds + second)
    rest = np.r_[np.full(len(bonds), length), np.full(len(second), length * 3**0.5)]
    stiffness = np.r_[np.full(len(bonds), 1.0), np.full(len(second), 0.15)]

    def energy(flat):
        points = flat.reshape(-1, 2)
        delta = points[pairs[:, 1]] - points[pairs[:, 0]]
        delta -= box * np.round(delta / box)
        distance = np.hypot(*delta.T)
        stretch = distance - rest
        force = (stiffness * stretch / distance)[:, None] * delta
        gradient = np.zeros_like(points)
        np.add.at(gradient, pairs[:, 1], force)
        np.add.at(gradient, pairs[:, 0], -force)
        return 0.5 * float(stiffness @ stretch**2), gradient.ravel()

    best = minimize(energy, xy.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    return best.x.reshape(-1, 2)


def three_shortest(xy, box, pairs):
    """The bonds (i, j) left when each atom keeps its three shortest."""
    delta = xy[pairs[:, 1]] - xy[pairs[:, 0]]
    delta -= box * np.round(delta / box)
    degree = np.zeros(len(xy), int)
    kept = []
    for k in np.argsort(np.hypot(*delta.T)):
        i, j = (int(v) for v in pairs[k])
        if degree[i] < 3 and degree[j] < 3:
            degree[[i, j]] += 1
            kept.append((i, j))
    return kept


def lead_titanate():
    """PbTiO3 along [100]: the polar displacements lie in the image."""
    # axes of the image: x = b (3.904 Å), y = c (4.152 Å); beam along a
    sites = [
        ("Pb", 0, 0, 0), ("Ti", 0.5, 0.539, 0.5),
        ("O", 0.5, 0.114, 0.5), ("O", 0.5, 0.617, 0.0), ("O", 0, 0.617, 0.5),
    ]  # fmt: skip
    cell = cell_of(sites, [3.904, 4.152, 3.904])
    cell.translate([1.2, 1.0, 0.3])
    cell.wrap()
    return cell.repeat((9, 8, 10))


def strontium_titanate():
    from ase.spacegroup import crystal

    basis = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    cell = crystal(["Sr", "Ti", "O"], basis, spacegroup=221, cellpar=[3.905] * 3 + [90] * 3)
    cell.translate([0.7, 0.7, 0.3])
    return cell.repeat((8, 8, 10))


def zincblende_110(first: str, second: str, a: float, repeat: tuple[int, int, int]):
    """Zincblende seen along [110], x = [1-10], y = [001]: dumbbells a/4 apart."""
    sites = [(first, 0, 0, 0), (first, 0.5, 0.5, 0.5), (second, 0, 0.25, 0.5), (second, 0.5, 0.75, 0)]
    cell = cell_of(sites, [a / 2**0.5, a, a / 2**0.5])
    cell.translate([0.6, 0.5, 0.2])
    cell.wrap()
    return cell.repeat(repeat)


def gallium_arsenide():
    return zincblende_110("Ga", "As", 5.653, (8, 6, 13))


def cadmium_telluride():
    return zincblende_110("Cd", "Te", 6.482, (7, 5, 10))


def gold():
    from ase.build import fcc100

    cell = fcc100("Au", (1, 1, 2), a=4.078, vacuum=0.0)
    cell.set_cell([cell.cell[0, 0], cell.cell[1, 1], 4.078])
    cell.pbc = True
    cell.translate([0.8, 0.8, 0.5])
    return cell.repeat((12, 12, 8))


def rutile():
    from ase.spacegroup import crystal

    basis = [(0, 0, 0), (0.3053, 0.3053, 0)]
    cell = crystal(["Ti", "O"], basis, spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90])
    cell.translate([0.8, 1.1, 0.4])
    return cell.repeat((7, 7, 14))


def magnesium():
    """Mg along [11-20]: a rectangle of light columns."""
    from ase import Atoms

    a, c = 3.209, 5.211
    b = a * 3**0.5
    sites = [(0, 0, 0), (0.5, 0, 0.5), (2 / 3, 0.5, 0.0), (1 / 6, 0.5, 0.5)]
    cell = Atoms("Mg4", scaled_positions=sites, cell=[b, c, a], pbc=True)
    cell.translate([0.7, 0.9, 0.3])
    cell.wrap()
    return cell.repeat((6, 6, 14))


def copper_grain_boundary():
    """Two grains of Cu along [001], turned by the 36.9° of a Σ5 (310) boundary."""
    a = 3.615
    coincidence = a * 10**0.5
    box = np.array([3 * coincidence, 3 * coincidence, a])
    index = np.arange(-30, 31)
    grid = np.stack(np.meshgrid(index, index, indexing="ij"), -1).reshape(-1, 2)
    shifts = [(0.0, 0.0, 0.25), (0.5, 0.5, 0.25), (0.5, 0.0, 0.75), (0.0, 0.5, 0.75)]
    square = np.concatenate([np.c_[(grid + s[:2]) * a, np.full(len(grid), s[2] * a)] for s in shifts])
    halves = []
    for sign, low in ((1, 0.0), (-1, 0.5)):
        angle = sign * np.arctan(1 / 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        grain = np.c_[square[:, :2] @ turn.T, square[:, 2]]
        inside = (grain[:, 0] >= low * box[0] - 1e-6) & (grain[:, 0] < (low + 0.5) * box[0] - 1e-6)
        inside &= (grain[:, 1] >= -1e-6) & (grain[:, 1] < box[1] - 1e-6)
        halves.append(grain[inside])
    return without_clashes("Cu", np.concatenate(halves), box, least=2.1).repeat((1, 1, 9))


def without_clashes(symbol: str, positions, box, *, least: float):
    """A periodic crystal of one element; of two atoms nearer than `least` Å the later one is left out."""
    from ase import Atoms

    tree = cKDTree(wrapped(positions, box), boxsize=box)
    gone: set[int] = set()
    for i, j in sorted(tree.query_pairs(least)):
        if i not in gone:
            gone.add(j)
    kept = np.delete(positions, sorted(gone), axis=0)
    return Atoms(f"{symbol}{len(kept)}", positions=kept, cell=box, pbc=True)


def gold_particle_edge():
    """Au along [110], half a cell of crystal with stepped (111) and (001) surfaces, half of vacuum."""
    a = 4.078
    width, height = a / 2**0.5, a
    from ase import Atoms

    cell = Atoms("Au2", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[width, height, width], pbc=True)
    crystal = cell.repeat((12, 9, 12))
    crystal.translate([0.4, 0.4, 0.3])
    x, y = crystal.positions[:, 0], crystal.positions[:, 1]
    box = crystal.cell.lengths()
    slope = 2**0.5  # the trace of a {111} plane
    inside = (y < 0.72 * box[1]) & (y < slope * (0.85 * box[0] - x)) & (y > 0.12 * box[1])
    return crystal[inside]


def seen_along(cell, axes):
    """A crystal with the lattice vectors `axes` (rows of whole numbers, perpendicular) as x, y and the beam z."""
    from ase.build import make_supercell

    turned = make_supercell(cell, axes)
    turned.set_cell(turned.cell.lengths(), scale_atoms=True)
    turned.translate([0.7, 0.9, 0.3])
    turned.wrap()
    return turned


def palladium_diselenide():
    """One layer of pentagonal PdSe2: Se–Se pairs 1.88 Å apart in projection.

    Bulk lattice and positions of Soulard et al., Inorg. Chem. 43 (2004) 1943.
    """
    sites = [
        ("Pd", 0, 0, 0.5), ("Pd", 0.5, 0.5, 0.5), ("Se", 0.388, 0.883, 0.46), ("Se", 0.888, 0.617, 0.54),
        ("Se", 0.612, 0.117, 0.54), ("Se", 0.112, 0.383, 0.46),
    ]  # fmt: skip
    cell = cell_of(sites, [5.7457, 5.8679, 17.9])
    cell.translate([0.8, 1.3, 0])
    cell.wrap()
    return cell.repeat((5, 5, 1))


def chromium_triiodide():
    """One layer of CrI3 (a = 6.867 Å; McGuire et al., Chem. Mater. 27 (2015) 612): faint Cr in two of three hollows."""
    from ase import Atoms

    sites = [(1 / 3, 2 / 3, 0.5), (2 / 3, 1 / 3, 0.5)]
    sites += [(x, y, 0.63) for x, y in ((0.35, 0), (0, 0.35), (0.65, 0.65))]
    sites += [(x, y, 0.37) for x, y in ((0.65, 0), (0, 0.65), (0.35, 0.35))]
    cell = Atoms("Cr2I6", scaled_positions=sites, cell=[6.867, 6.867, 12.0, 90, 90, 120], pbc=True)
    return hexagonal_sheet(cell, 5, 3)


def titanium_carbide_mxene():
    """One layer of Ti3C2O2 from above (a = 3.06 Å): the three layers of Ti cover the three sites of a hexagonal net."""
    from ase import Atoms

    a, b, c = (0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)
    heights = [
        ("Ti", a, 0.0), ("Ti", b, 2.4), ("Ti", c, -2.4), ("C", c, 1.3), ("C", b, -1.3), ("O", a, 3.4), ("O", a, -3.4)
    ]  # fmt: skip
    scaled = [(*xy, 0.5 + h / 12) for _, xy, h in heights]
    symbols = [symbol for symbol, _, _ in heights]
    cell = Atoms(symbols, scaled_positions=scaled, cell=[3.06, 3.06, 12.0, 90, 90, 120], pbc=True)
    return hexagonal_sheet(cell, 9, 5)


def oxide_interface():
    """Four cells of LaAlO3 on four of SrTiO3 along [100]: in LaAlO3 strained to it, only La is bright."""
    rows, height = [], 0.0
    for a_site, b_site, step in [("Sr", "Ti", 3.905)] * 4 + [("La", "Al", 3.75)] * 4:
        middle = height + step / 2
        rows += [(a_site, 0, height, 0), ("O", 0.5, height, 0.5)]
        rows += [(b_site, 0.5, middle, 0.5), ("O", 0.5, middle, 0), ("O", 0, middle, 0.5)]
        height += step
    cell = cell_of([(symbol, x, y / height, z) for symbol, x, y, z in rows], [3.905, height, 3.905])
    cell.translate([0.8, 0.6, 0.3])
    cell.wrap()
    return cell.repeat((8, 1, 10))


def bismuth_telluride():
    """Bi2Te3 along [11-20] (Feutelais et al., Mater. Res. Bull. 28 (1993) 591): quintuple layers and their gaps."""
    from ase.spacegroup import crystal

    basis = [(0, 0, 0.4000), (0, 0, 0), (0, 0, 0.2095)]
    cell = crystal(["Bi", "Te", "Te"], basis, spacegroup=166, cellpar=[4.395, 4.395, 30.44, 90, 90, 120])
    return seen_along(cell, [[1, 2, 0], [0, 0, 1], [1, 0, 0]]).repeat((4, 1, 10))


def magnetite():
    """Fe3O4 along [110] (a = 8.396 Å; oxygen at 0.2549, Fleet 1981): columns of Fe with one or two atoms a period."""
    from ase.spacegroup import crystal

    basis = [(1 / 8, 1 / 8, 1 / 8), (1 / 2, 1 / 2, 1 / 2), (0.2549, 0.2549, 0.2549)]
    cell = crystal(["Fe", "Fe", "O"], basis, spacegroup=227, setting=2, cellpar=[8.396] * 3 + [90] * 3)
    return seen_along(cell, [[-1, 1, 0], [0, 0, 1], [1, 1, 0]]).repeat((2, 3, 3))


def graphene_beside_boron_nitride():
    """A coherent zigzag border of graphene and h-BN at their mean lattice constant, 2.48 Å."""
    from ase.build import graphene

    sheet = hexagonal_sheet(graphene(formula="BN", a=2.48, vacuum=6.0), 12, 7)
    upper = sheet.positions[:, 1] > 0.5 * sheet.cell[1, 1]
    symbols = np.array(sheet.get_chemical_symbols())
    symbols[upper] = "C"
    sheet.set_chemical_symbols(symbols)
    return sheet


def molybdenum_disulfide_phases():
    """2H beside 1T' MoS2, joined along the zigzag rows: S2 columns on one side, single S and Mo chains on the other.

    2H a = 3.16 Å; 1T' b = 5.72 Å with 2.77 Å between the Mo of a chain (Eda et al., ACS Nano 6 (2012) 7311), and the
    heights of WTe2's chalcogens.
    """
    a, half = 3.17, 1.56
    plain = [("Mo", 0.0, 1.83, 0), ("S", 0.5, 0.915, half), ("S", 0.5, 0.915, -half)]
    plain += [("Mo", 0.5, 4.575, 0), ("S", 0, 3.66, half), ("S", 0, 3.66, -half)]
    distorted = [("Mo", 0.0, 1.72, 0.0), ("Mo", 0.5, 3.99, 0.1), ("S", 0.0, 3.40, 1.72), ("S", 0.5, 2.31, -1.72)]
    distorted += [("S", 0.5, 0.53, 1.35), ("S", 0.0, 5.18, -1.35)]
    atoms = [(s, x, y + 5.49 * k, z) for k in range(3) for s, x, y, z in plain]
    gap = 0.35  # at either border, so that no bond is too short
    atoms += [(s, x, y + 5.49 * 3 + gap + 5.72 * k, z) for k in range(2) for s, x, y, z in distorted]
    height = 5.49 * 3 + 5.72 * 2 + 2 * gap
    sites = [(s, x, y / height, 0.5 + z / 12) for s, x, y, z in atoms]
    return cell_of(sites, [a, height, 12.0]).repeat((9, 1, 1))


def tilted_tungsten():
    """W along [111] (a = 3.165 Å), leaning 6 mrad off the axis along x."""
    from ase.build import bulk

    crystal = seen_along(bulk("W", "bcc", a=3.165, cubic=True), [[1, -1, 0], [1, 1, -2], [1, 1, 1]]).repeat((7, 4, 9))
    crystal.positions[:, 0] += 6e-3 * (crystal.positions[:, 2] - crystal.cell[2, 2] / 2)
    crystal.wrap()
    return crystal


def lead_halide_perovskite():
    """CsPbBr3, tetragonal, along [001] (a = 8.259, c = 5.897 Å; Hirotsu et al. 1974): octahedra turned in phase.

    How far is a choice: Br at 0.22, where 0.25 is not turned.
    """
    from ase.spacegroup import crystal

    basis = [(0, 0, 0), (0, 0.5, 0.5), (0, 0, 0.5), (0.22, 0.72, 0)]
    cell = crystal(["Pb", "Cs", "Br", "Br"], basis, spacegroup=127, cellpar=[8.259, 8.259, 5.897, 90, 90, 90])
    cell.translate([1.0, 1.2, 0.3])
    return cell.repeat((4, 4, 6))


MATERIALS: dict[str, Material] = {
    "hbn": Material(
        boron_nitride, 0.10, 60, 31, (60, 180), 0.75, 0.065, vacancies=5, configurations=8, interpolation=3
    ),
    "wse2": Material(
        tungsten_diselenide, 0.13, 80, 28, (70, 180), 0.80, {"W": 0.06, "Se": 0.075, "Mo": 0.065},
        vacancies=5, dopant=("W", "Mo", 3), configurations=8, interpolation=3,
    ),
    "ptse2": Material(
        platinum_diselenide, 0.20, 100, 25, (70, 150), 0.80, {"Pt": 0.06, "Se": 0.075}, vacancies=5,
        configurations=6, interpolation=3,
    ),
    "wte2": Material(
        tungsten_ditelluride, 0.09, 80, 30, (70, 180), 0.75, {"W": 0.06, "Te": 0.075}, vacancies=5,
        configurations=6, interpolation=3,
    ),
    "graphene_sw": Material(
        graphene_with_topological_defects, 0.07, 60, 33, (60, 180), 0.70, 0.06,
        vacancies=2, configurations=8, interpolation=3,
    ),
    "pbtio3": Material(
        lead_titanate, 0.22, 200, 22, (60, 110), 0.85, {"Pb": 0.09, "Ti": 0.075, "O": 0.085},
    ),
    "srtio3": Material(
        strontium_titanate, 0.12, 200, 23, (60, 110), 0.85, {"Sr": 0.08, "Ti": 0.07, "O": 0.08},
    ),
    "gaas110": Material(
        gallium_arsenide, 0.09, 200, 24, (60, 110), 0.70, {"Ga": 0.09, "As": 0.085},
        aberrations={"defocus": 15.0, "C12": 10.0, "phi12": 0.6},
    ),
    "cdte110": Material(
        cadmium_telluride, 0.15, 200, 22, (60, 110), 0.80, {"Cd": 0.13, "Te": 0.12}
    ),
    "au001": Material(gold, 0.25, 100, 25, (60, 110), 0.90, 0.085, vacancies=6),
    "tio2_001": Material(rutile, 0.11, 100, 27, (60, 120), 0.90, {"Ti": 0.07, "O": 0.07}),
    "mg1120": Material(magnesium, 0.18, 100, 26, (50, 110), 0.85, 0.13, vacancies=5),
    "cu_sigma5": Material(copper_grain_boundary, 0.16, 100, 26, (60, 110), 0.80, 0.085, vacancies=5),
    "au_edge": Material(gold_particle_edge, 0.12, 100, 26, (60, 110), 0.85, 0.085, vacancies=4),
    "pdse2": Material(
        palladium_diselenide, 0.11, 80, 30, (65, 180), 0.75, {"Pd": 0.065, "Se": 0.075}, vacancies=4,
        configurations=6, interpolation=3, aberrations={"defocus": 8.0, "C12": 12.0, "phi12": 1.1},
    ),
    "cri3": Material(
        chromium_triiodide, 0.17, 60, 32, (60, 180), 0.90, {"Cr": 0.08, "I": 0.09}, vacancies=4,
        configurations=6, interpolation=3,
    ),
    "ti3c2": Material(
        titanium_carbide_mxene, 0.13, 100, 29, (48, 180), 0.85, {"Ti": 0.07, "C": 0.07, "O": 0.09}, vacancies=4,
        configurations=6, interpolation=3, aberrations={"defocus": -10.0},
    ),
    "lao_sto": Material(
        oxide_interface, 0.15, 300, 20, (55, 110), 0.80, {"Sr": 0.08, "Ti": 0.07, "La": 0.08, "Al": 0.07, "O": 0.08},
    ),
    "bi2te3": Material(bismuth_telluride, 0.21, 200, 21, (55, 110), 0.95, {"Bi": 0.12, "Te": 0.11}),
    "fe3o4_110": Material(
        magnetite, 0.10, 300, 24, (60, 110), 0.75, {"Fe": 0.075, "O": 0.085},
        aberrations={"C12": 14.0, "phi12": 0.3, "C21": 250.0, "phi21": 1.0},
    ),
    "g_hbn": Material(
        graphene_beside_boron_nitride, 0.09, 60, 34, (55, 200), 0.80, 0.065, vacancies=3,
        configurations=8, interpolation=3, aberrations={"C12": 8.0, "phi12": 0.9},
    ),
    "mos2_2h_1t": Material(
        molybdenum_disulfide_phases, 0.12, 100, 30, (70, 200), 0.75, {"Mo": 0.065, "S": 0.075}, vacancies=4,
        configurations=8, interpolation=3,
    ),
    "w111_tilted": Material(tilted_tungsten, 0.28, 200, 23, (80, 120), 0.95, 0.055, vacancies=5),
    "cspbbr3": Material(
        lead_halide_perovskite, 0.25, 200, 20, (50, 100), 1.0, {"Cs": 0.19, "Pb": 0.13, "Br": 0.17},
    ),
}  # fmt: skip


def columns_of(atoms):
    """Columns (n, 5): x, y, ΣZ^1.7, heaviest Z, atoms; and the column each atom belongs to."""
    box = atoms.cell.lengths()[:2]
    xy = wrapped(atoms.positions[:, :2], box)
    near = cKDTree(xy, boxsize=box).query_pairs(MERGE_DISTANCE, output_type="ndarray")
    links = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(xy), len(xy)))
    _, owner = connected_components(links, directed=False)
    weight = atoms.numbers**1.7
    rows = []
    for k in range(owner.max() + 1):
        mine = owner == k
        around = nearest_image(xy[mine], xy[mine][0], box)
        centre = (weight[mine, None] * around).sum(0) / weight[mine].sum() % box
        rows.append([*centre, weight[mine].sum(), atoms.numbers[mine].max(), mine.sum()])
    return np.array(rows), owner


def plant_vacancies(atoms, number: int, rng) -> np.ndarray:
    """Delete `number` bright, separate columns in place; their (x, y) in Å."""
    columns, owner = columns_of(atoms)
    box = atoms.cell.lengths()[:2]
    weight = columns[:, 2] / columns[:, 2].max()
    if columns[:, 3].max() >= 20:
        weight = np.where(columns[:, 3] <= 8, 0.0, weight)
    xy = columns[:, :2]
    inner = ((xy > BORDER_FREE) & (xy < box - BORDER_FREE)).all(1)
    chosen: list[int] = []
    for k in rng.permutation(np.flatnonzero((weight >= 0.12) & inner)):
        if all(np.hypot(*(xy[k] - xy[c])) > 7.0 for c in chosen):
            chosen.append(int(k))
        if len(chosen) == number:
            break
    del atoms[np.isin(owner, chosen)]
    return xy[chosen]


def substitute(atoms, dopant, rng) -> None:
    """Replace some atoms of one element by another, in place."""
    old, new, number = dopant
    symbols = np.array(atoms.get_chemical_symbols())
    for i in rng.choice(np.flatnonzero(symbols == old), number, replace=False):
        atoms[int(i)].symbol = new


def simulate(name: str, material: Material) -> dict[str, np.ndarray]:
    """The arrays of one validation file."""
    import abtem

    abtem.config.set({"device": "cpu", "diagnostics.progress_bar": False})
    rng = np.random.default_rng([2018, *name.encode()])
    atoms = material.build()
    if material.dopant:
        substitute(atoms, material.dopant, rng)
    vacancies = plant_vacancies(atoms, material.vacancies, rng)
    columns, _ = columns_of(atoms)
    extent = atoms.cell.lengths()[:2]
    outer = material.detector_mrad[1]
    wavelength = abtem.core.energy.energy2wavelength(material.kv * 1e3)
    seed = int(rng.integers(2**31))
    phonons = abtem.FrozenPhonons(atoms, material.configurations, material.thermal, seed=seed)
    # the outer angle must lie inside the 2/3 antialiasing limit; PRISM wants a multiple of its factor
    needed = extent * 3.05 * outer * 1e-3 / wavelength
    gpts = [2 * material.interpolation * int(np.ceil(n / (2 * material.interpolation))) for n in needed]
    potential = abtem.Potential(phonons, gpts=gpts, slice_thickness=material.slice_thickness)
    s_matrix = abtem.SMatrix(
        semiangle_cutoff=material.semiangle_mrad, energy=material.kv * 1e3, potential=potential,
        interpolation=material.interpolation,
    )  # fmt: skip
    # an image holds no frequency above twice the aperture: scanned at that limit, interpolated exactly after
    step = wavelength / (4.2 * material.semiangle_mrad * 1e-3)
    coarse = [int(np.ceil(e / step)) for e in extent]
    scan = abtem.GridScan((0, 0), tuple(extent), gpts=tuple(coarse), endpoint=False)
    ctf = {"energy": material.kv * 1e3, "semiangle_cutoff": material.semiangle_mrad, **material.aberrations}
    detector = abtem.AnnularDetector(*material.detector_mrad)
    measured = s_matrix.scan(scan, detectors=detector, ctf=abtem.CTF(**ctf))
    measured = measured.compute(scheduler="single-threaded")
    image = np.asarray(measured.array, float).reshape(-1, *coarse).mean(0)
    fine = [round(e / material.pixel) for e in extent]
    sampling = extent / fine
    image = fourier_resample(image, fine)
    blur = material.source_fwhm * FWHM_TO_SIGMA / sampling
    image = np.clip(np.fft.ifft2(fourier_gaussian(np.fft.fft2(image), blur)).real, 0, None)
    return {
        "image": (image / image.max()).astype(np.float16), "sampling": sampling, "columns": columns,
        "vacancies": vacancies, "kv": np.int64(material.kv),
    }  # fmt: skip


def fourier_resample(image, shape):
    """A periodic image (H, W) on another grid, by its Fourier series."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    out = np.zeros(shape, complex)
    cut = [min(a, b) for a, b in zip(image.shape, shape, strict=True)]
    # an even side's Nyquist row has no partner: leave it out
    cut = [c - 1 + c % 2 for c in cut]
    source = tuple(slice(s // 2 - c // 2, s // 2 + c // 2 + 1) for s, c in zip(image.shape, cut, strict=True))
    target = tuple(slice(s // 2 - c // 2, s // 2 + c // 2 + 1) for s, c in zip(shape, cut, strict=True))
    out[target] = spectrum[source]
    return np.fft.ifft2(np.fft.ifftshift(out)).real * (np.prod(shape) / image.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *MATERIALS], help="materials to make; default all")
    names = parser.parse_args().names or list(MATERIALS)
    FOLDER.mkdir(exist_ok=True)
    for name in names:
        start = time.perf_counter()
        arrays = simulate(name, MATERIALS[name])
        np.savez_compressed(FOLDER / f"val_{name}.npz", **arrays)
        counts = f"{len(arrays['columns'])} columns, {len(arrays['vacancies'])} vacancies"
        print(f"{name}: {arrays['image'].shape} px, {counts}, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
