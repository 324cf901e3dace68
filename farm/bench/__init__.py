"""Benches, named by what they join; each ends with one line of JSON."""
