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
