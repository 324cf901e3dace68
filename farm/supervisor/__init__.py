"""Starts, watches, replaces and stops children; loads neither Numba nor grpc."""
