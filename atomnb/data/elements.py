"""The chemical symbols, to tell an element from any other name of a species."""

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb "
    "Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf "
    "Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(_SYMBOLS.split(), start=1)}
"""Atomic number of each element from 1 to 118."""

ELEMENTS: frozenset[str] = frozenset(ATOMIC_NUMBERS)
"""Symbols of the elements 1 to 118."""


def symbol_of(species: str) -> str:
    """`species` if it is a chemical symbol, else 'X', by which ASE and OVITO know an unknown atom."""
    return species if species in ELEMENTS else "X"
