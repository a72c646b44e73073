"""Training: patches, losses, the loop."""
