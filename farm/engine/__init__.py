"""The games: a batch as structure-of-arrays, and the kernels that step, see and encode them; knows no config, log or time."""
