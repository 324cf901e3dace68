"""Shared memory: segments, rings, the control block and doorbells; carries bytes and knows no game."""
