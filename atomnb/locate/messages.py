"""What an analysis tells the user beside its atoms, in words that serve a notebook and a page alike."""

NO_SCALE = "no pixel size: distances are in pixels. Set the pixel size (Å), or calibrate by a known spacing."

NO_LATTICE = (
    "no regular lattice found: the atoms are taken to be single ones. If the image shows a crystal, check the pixel "
    "size, or take a model that knows this crystal."
)

DARK = "the atoms are taken to be dark (BF or ABF contrast): choose contrast 'bright' if they are not."

NO_ATOMS = "no atoms found: lower the threshold, or check the pixel size and the contrast."

OFF_BY = 1.35
"""Factor between the distance of neighbours and the bond of the rules from which on the two do not belong together."""


METAL, PAIR = "metal", "chalcogen pair"
"""What the model `tmd` calls the columns of a perfect dichalcogenide."""

LIKE_MOSE2 = (1.45, 1.9)
"""Brighter over fainter column of MoSe2 in a dark-field image, where the pair is the brighter one. The metal over the
pair is 2.1 to 2.3 in MoS2, 1.2 to 1.35 in WSe2, about 4 in WS2."""


def mirrored_message(atoms) -> str | None:
    """What to say where columns named metal and pair (AtomTable with `intensity`) may be the other way round."""
    if "intensity" not in atoms.df:
        return None
    bright = atoms.df.groupby("species")["intensity"].median()
    if METAL not in bright or PAIR not in bright or not bright[PAIR] > 0:
        return None
    ratio = bright[METAL] / bright[PAIR]
    if not LIKE_MOSE2[0] < ratio < LIKE_MOSE2[1]:
        return None
    return (
        f"what is called {METAL} is {ratio:.2f} times as bright as what is called {PAIR}: so is Se2 beside Mo "
        "in MoSe2, which this model names the wrong way round. If it is MoSe2, use the model 'universal' with "
        "rules='mose2'."
    )


def rules_message(spacing_angstrom: float | None, rules) -> str | None:
    """What to say where the lattice is far from that of the rules; metadata are often wrong by a tenth, not by more."""
    # Species that the rules leave out, as oxygen between cations, are nearer than the crystal's bond.
    bond = None if rules is None or rules.ignored else rules.host.bond
    if not bond or not spacing_angstrom or 1 / OFF_BY < spacing_angstrom / bond < OFF_BY:
        return None
    return (
        f"neighbours are {spacing_angstrom:.2f} Å apart, in the crystal of the rules {rules.name!r} {bond:.2f} Å: "
        "choose rules that fit the material, or check the pixel size."
    )
