"""From positions to bonds, rings and topology."""
