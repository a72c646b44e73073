"""Covalent radii against the ASE copy of the same table, and the lengths of known bonds."""

import pytest

from atomnb.data.elements import ELEMENTS
from atomnb.errors import AtomnbError
from atomnb.graph.radii import COVALENT_RADII, bond_range

KNOWN_BONDS = {
    ("C", "C"): 1.42, ("C", "Si"): 1.87, ("B", "N"): 1.446, ("Mo", "S"): 2.41, ("W", "Se"): 2.53, ("Ti", "O"): 1.95,
    ("Ga", "As"): 2.45, ("Si", "Si"): 2.35, ("C", "N"): 1.40, ("Au", "Au"): 2.88,
}  # fmt: skip


def test_the_table_is_that_of_cordero():
    data = pytest.importorskip("ase.data")
    assert set(COVALENT_RADII) == set(data.chemical_symbols[1:97]) <= ELEMENTS
    for symbol, radius in COVALENT_RADII.items():
        assert radius == pytest.approx(data.covalent_radii[data.atomic_numbers[symbol]])


@pytest.mark.parametrize("pair", KNOWN_BONDS)
def test_known_bonds_lie_in_their_range_and_second_neighbours_do_not(pair):
    low, high = bond_range(*pair)
    assert low < KNOWN_BONDS[pair] < high < KNOWN_BONDS[pair] * 2**0.5
    assert bond_range(*pair[::-1]) == (low, high)


def test_a_range_is_the_sum_of_the_radii_give_or_take_the_tolerance():
    assert bond_range("C", "C", tolerance=0.1) == pytest.approx((1.368, 1.672))


@pytest.mark.parametrize(("symbol", "why"), [("column", "no chemical symbol"), ("Og", "not known")])
def test_without_a_radius_there_is_no_range(symbol, why):
    with pytest.raises(AtomnbError, match=why):
        bond_range("C", symbol)


@pytest.mark.parametrize("tolerance", [0, 1, -0.2])
def test_impossible_tolerance(tolerance):
    with pytest.raises(AtomnbError, match="between 0 and 1"):
        bond_range("C", "C", tolerance=tolerance)
