"""Recorded games: their file format, readers of other formats, re-simulation, and how they look."""
