"""Scripted players, compiled, behind one protocol."""
