"""Microscope files, tables and other libraries: in and out."""
