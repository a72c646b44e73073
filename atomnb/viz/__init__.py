"""Pictures of results; nothing here computes."""
