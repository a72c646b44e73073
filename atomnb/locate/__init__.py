"""From probabilities to sub-pixel positions with errors."""
