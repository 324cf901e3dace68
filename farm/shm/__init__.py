"""Shared memory: segments, rings, the control block, doorbells; it carries bytes, knows no game."""
