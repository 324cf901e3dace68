"""The games: a batch as structure-of-arrays, and the kernels that step, see and encode them.

Knows no config, log or time.
"""
