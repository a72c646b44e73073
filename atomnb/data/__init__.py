"""Images with their scale, tables of atoms, and example files."""
