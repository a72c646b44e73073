"""Simulated images with exact truth."""
