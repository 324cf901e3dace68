"""Strategies that lay out a map: terrain, armies of neutral cells, and the generals' cells."""
