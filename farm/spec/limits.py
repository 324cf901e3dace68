"""Board limits and other bounds that every process agrees on (compiled into kernels, farm.jit)."""

MIN_SEATS = 2
MAX_SEATS = 16
MIN_SIDE = 4
MAX_SIDE = 64
"""Cells along one side of a board; 64 x 64 keeps an action index inside uint16."""
MAX_CELLS = MAX_SIDE * MAX_SIDE
MAX_STEPS = 256
"""Steps of the longest trajectory that may be configured."""
MAX_ARMY_SEEN = 65535
"""Armies above this are shown as this in an observation (uint16); the game goes on exactly."""
TICKS_PER_TURN = 2
TICKS_PER_ROUND = 50
