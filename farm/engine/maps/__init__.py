"""Strategies that lay out a map: they write terrain, armies of neutral cells, and the generals' cells."""
