"""How atoms are ordered: lattices and grains, strain, polarisation."""
