"""What an analysis tells the user beside its atoms, in words that serve a notebook and a page alike."""

NO_SCALE = "no pixel size: distances are in pixels. Set the pixel size (Å), or calibrate by a known spacing."

NO_LATTICE = "no regular lattice found: the atoms are taken to be single ones."

DARK = "the atoms are taken to be dark (BF or ABF contrast): choose contrast 'bright' if they are not."

NO_ATOMS = "no atoms found: lower the threshold, or check the pixel size and the contrast."
