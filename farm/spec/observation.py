"""The packed observation: one frame of bytes per seat and tick (compiled into kernels, farm.jit).

    offset          field        type              meaning
    0               army         uint16[h, w]      army in sight, capped at 65535; 0 in fog
    2n              tile         uint8[h, w]       tile code (tiles.py)
    align4(3n)      total_army   uint32[seats]     scoreboard: army of each player
    + 4s            total_land   uint16[seats]     scoreboard: cells of each player
    + 6s            alive        uint8[seats]      scoreboard: 1 while the player lives
    (padded to a multiple of 4)

`n` is height * width, `s` the number of seats; little-endian; cells row-major. Scoreboard rows are
in the order of the owner codes: the observing seat first, its teammates, its enemies.

A *memory* is what a seat has seen: for each cell army and tile as in the last frame in which the
cell was in sight, this one included, or 0 and `tiles.NEVER_SEEN`. It is laid out as the board of a
frame: army, tile, zeros up to a multiple of 4. Memories follow from frames alone:

    memory after a tick = where in sight of the frame after it: that frame, else the memory before
"""

import numpy as np

_WORD = 4


def score_offset(n_cells: int) -> int:
    """Offset in bytes of the scoreboard within a frame."""
    return -(-3 * n_cells // _WORD) * _WORD


def frame_bytes(n_cells: int, n_seats: int) -> int:
    """Size of one frame; a multiple of 4."""
    return -(-(score_offset(n_cells) + 7 * n_seats) // _WORD) * _WORD


def memory_bytes(n_cells: int) -> int:
    """Size of a memory; a multiple of 4."""
    return score_offset(n_cells)


def memory_dtype(height: int, width: int) -> np.dtype[np.void]:
    """A memory as a NumPy structured type, for `np.frombuffer`."""
    n_cells = height * width
    return np.dtype(
        {
            "names": ["army", "tile"],
            "formats": [("<u2", (height, width)), ("u1", (height, width))],
            "offsets": [0, 2 * n_cells],
            "itemsize": memory_bytes(n_cells),
        }
    )


def frame_dtype(height: int, width: int, n_seats: int) -> np.dtype[np.void]:
    """The frame as a NumPy structured type, for `np.frombuffer`."""
    n_cells = height * width
    score = score_offset(n_cells)
    return np.dtype(
        {
            "names": ["army", "tile", "total_army", "total_land", "alive"],
            "formats": [
                ("<u2", (height, width)),
                ("u1", (height, width)),
                ("<u4", (n_seats,)),
                ("<u2", (n_seats,)),
                ("u1", (n_seats,)),
            ],
            "offsets": [0, 2 * n_cells, score, score + 4 * n_seats, score + 6 * n_seats],
            "itemsize": frame_bytes(n_cells, n_seats),
        }
    )
