"""The client of a farm."""
