"""Writes a trajectory's frames as one LZ4 block, from the changes instead of by searching for them.

Consecutive frames of a seat differ in a handful of cells, and the engine knows in which. An LZ4
sequence is "some literal bytes, then copy so many bytes from so far back", so that a frame is its
changed bytes as literals and, between them, copies from exactly one frame back. What comes out is
an ordinary block that every LZ4 library reads; making it costs a few nanoseconds a changed cell,
where a search over the same bytes costs 400 a frame (1,200 bytes at 3 GB/s).

    sequence = token | more literal length | literals | offset: uint16 | more match length
    token = literal length (high 4 bits) | match length - 4 (low 4 bits); 15: there is more

The format is lz4_Block_format.md of the LZ4 project; its end conditions (the last 5 bytes are
literals, the last match starts 12 or more bytes before the end) hold because the columns behind the
frames end in literals, see `end_block`.

The state of a block being written is `block: int64[3]`: where the open token stands in `out`, where
the next byte goes, and how many bytes are matched since the last literal. Literals of the open
sequence are already in place behind its token.
"""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import lowest
from farm.jit import inline

BLOCK_WORDS = 3
_TOKEN, _END, _MATCHED = 0, 1, 2

MIN_MATCH = 4
"""Shortest copy of the format; a shorter gap between two changes is written as literals."""

_NIBBLE = 15
_BYTE = 255
_MIN_CONSTANT_STEPS = 6
"""Below this many steps the actions alone are too short an end for a block that ends in a match."""


@inline
def begin_block(block: NDArray[np.int64]) -> None:
    """Open the first sequence at the start of `out`."""
    block[_TOKEN] = 0
    block[_END] = 1
    block[_MATCHED] = 0


@inline
def add_key_frame(
    out: NDArray[np.uint8], block: NDArray[np.int64], frame: NDArray[np.uint8], n_cells: int
) -> None:
    """Write the first frame, with runs of equal cells as copies of the cell before.

    Args:
        out: uint8[compressed_bound], the block.
        block: int64[3], its state.
        frame: uint8[frame_bytes] (spec.observation), read.
        n_cells: cells of the board.

    Writes:
        out, block.
    """
    _add_board(out, block, frame, n_cells)
    _append(out, block, frame, 3 * n_cells, frame.shape[0])


@inline
def add_memory(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    memory: NDArray[np.uint8],
    n_cells: int,
    frame_bytes: int,
) -> None:
    """Write the memory of the first frame behind the last frame, with runs as in a key frame.

    Args:
        out: uint8[compressed_bound], the block.
        block: int64[3], its state.
        memory: uint8[at least memory_bytes] (spec.observation), read.
        n_cells: cells of the board.
        frame_bytes: bytes of a frame, which a pending copy reaches back.

    Writes:
        out, block.
    """
    if block[_MATCHED] > 0:  # then it is MIN_MATCH or more: see the end of `add_frame`
        _close_sequence(out, block, frame_bytes)
    _add_board(out, block, memory, n_cells)
    _append(out, block, memory, 3 * n_cells, -(-3 * n_cells // 4) * 4)


@inline
def _add_board(
    out: NDArray[np.uint8], block: NDArray[np.int64], board: NDArray[np.uint8], n_cells: int
) -> None:
    """Write the armies and tiles of a board; nothing is pending before and after."""
    at = 0
    while at < 2 * n_cells:
        run = at + 2
        if at > 0:
            run = at
            while (
                run < 2 * n_cells
                and board[run] == board[run - 2]
                and board[run + 1] == board[run - 1]
            ):
                run += 2
        at = _add_run(out, block, board, at, run, 2)
    while at < 3 * n_cells:
        run = at + 1
        if at > 2 * n_cells:
            run = at
            while run < 3 * n_cells and board[run] == board[run - 1]:
                run += 1
        at = _add_run(out, block, board, at, run, 1)


@inline
def add_frame(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    frame: NDArray[np.uint8],
    score: NDArray[np.uint8],
    dirty_army: NDArray[np.uint64],
    dirty_tile: NDArray[np.uint64],
    n_cells: int,
    n_words: int,
) -> None:
    """Write a frame as its changes against the one before.

    Args:
        out: uint8[compressed_bound], the block.
        block: int64[3], its state.
        frame: uint8[frame_bytes], the frame as it is now, read.
        score: uint8[at least the scoreboard's bytes], the scoreboard of the frame before.
        dirty_army: uint64[>= n_words], cells whose army may have changed since the frame before.
        dirty_tile: uint64[n_words], likewise for tiles.
        n_cells: cells of the board.
        n_words: words of the two bitmaps that the board takes.

    Writes:
        out, block; clears dirty_army and dirty_tile; score becomes this frame's.
    """
    frame_bytes = frame.shape[0]
    at = 0
    for word in range(n_words):
        bits = dirty_army[word]
        dirty_army[word] = np.uint64(0)
        while bits != np.uint64(0):
            start = 2 * (word * 64 + lowest(bits))
            bits &= bits - np.uint64(1)
            at = _add_change(out, block, frame, at, start, start + 2)
    for word in range(n_words):
        bits = dirty_tile[word]
        dirty_tile[word] = np.uint64(0)
        while bits != np.uint64(0):
            start = 2 * n_cells + word * 64 + lowest(bits)
            bits &= bits - np.uint64(1)
            at = _add_change(out, block, frame, at, start, start + 1)
    board = -(-3 * n_cells // 4) * 4
    for start in range(board, frame_bytes):
        if frame[start] != score[start - board]:
            score[start - board] = frame[start]
            at = _add_change(out, block, frame, at, start, start + 1)
    block[_MATCHED] += frame_bytes - at
    if block[_MATCHED] < MIN_MATCH:
        _append(out, block, frame, frame_bytes - block[_MATCHED], frame_bytes)
        block[_MATCHED] = 0


@inline
def end_block(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    columns: NDArray[np.uint8],
    n_steps: int,
    frame_bytes: int,
) -> int:
    """Write the columns behind the frames and close the block.

    Rewards and log-probabilities that are the same at every step become a copy of their first.

    Args:
        out: uint8[compressed_bound], the block.
        block: int64[3], its state.
        columns: uint8[10 * n_steps]: reward, log_prob, action (spec.trajectory), read.
        n_steps: steps of the trajectory.
        frame_bytes: bytes of a frame, which a pending copy reaches back.

    Returns:
        Bytes of the block.

    Writes:
        out, block.
    """
    offset = frame_bytes
    for start in (0, 4 * n_steps):
        end = start + 4 * n_steps
        if n_steps >= _MIN_CONSTANT_STEPS and _is_constant(columns, start, end):
            _add_literals(out, block, columns, start, start + 4, offset)
            block[_MATCHED] = end - start - 4
            offset = 4
        else:
            _add_literals(out, block, columns, start, end, offset)
    _add_literals(out, block, columns, 8 * n_steps, 10 * n_steps, offset)
    _write_literal_length(out, block)
    return int(block[_END])


@inline
def _add_change(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    frame: NDArray[np.uint8],
    at: int,
    start: int,
    end: int,
) -> int:
    """Match from `at` to `start`, then take `start` to `end` as literals; the new `at`."""
    block[_MATCHED] += start - at
    _add_literals(out, block, frame, start, end, frame.shape[0])
    return end


@inline
def _add_run(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    frame: NDArray[np.uint8],
    at: int,
    end: int,
    offset: int,
) -> int:
    """Write `at` to `end` of a key frame, as a copy if it is long enough; the new `at`."""
    if end - at >= MIN_MATCH:
        block[_MATCHED] = end - at
        _close_sequence(out, block, offset)
        return end
    after = max(end, at + offset)
    _append(out, block, frame, at, after)
    return after


@inline
def _add_literals(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    source: NDArray[np.uint8],
    start: int,
    end: int,
    offset: int,
) -> None:
    """Take source[start:end] as literals, after closing the copy that is pending before them."""
    if block[_MATCHED] >= MIN_MATCH:
        _close_sequence(out, block, offset)
    elif block[_MATCHED] > 0:
        start -= block[_MATCHED]
        block[_MATCHED] = 0
    _append(out, block, source, start, end)


@inline
def _append(
    out: NDArray[np.uint8],
    block: NDArray[np.int64],
    source: NDArray[np.uint8],
    start: int,
    end: int,
) -> None:
    to = block[_END]
    for index in range(start, end):
        out[to] = source[index]
        to += 1
    block[_END] = to


@inline
def _close_sequence(out: NDArray[np.uint8], block: NDArray[np.int64], offset: int) -> None:
    """Finish the open sequence with its match, and open the next one."""
    _write_literal_length(out, block)
    end = block[_END]
    out[end] = offset & _BYTE
    out[end + 1] = offset >> 8
    end += 2
    length = block[_MATCHED] - MIN_MATCH
    out[block[_TOKEN]] |= min(length, _NIBBLE)
    if length >= _NIBBLE:
        length -= _NIBBLE
        while length >= _BYTE:
            out[end] = _BYTE
            end += 1
            length -= _BYTE
        out[end] = length
        end += 1
    block[_TOKEN] = end
    block[_END] = end + 1
    block[_MATCHED] = 0


@inline
def _write_literal_length(out: NDArray[np.uint8], block: NDArray[np.int64]) -> None:
    """Fill the literal half of the open token; a long run moves up to make room for its length."""
    token = block[_TOKEN]
    end = block[_END]
    length = end - token - 1
    out[token] = min(length, _NIBBLE) << 4
    if length >= _NIBBLE:
        n_more = (length - _NIBBLE) // _BYTE + 1
        for index in range(end - 1, token, -1):
            out[index + n_more] = out[index]
        for index in range(token + 1, token + n_more):
            out[index] = _BYTE
        out[token + n_more] = (length - _NIBBLE) % _BYTE
        block[_END] = end + n_more


@inline
def _is_constant(columns: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether the 4-byte values from `start` to `end` are all the same."""
    for index in range(start + 4, end):  # noqa: SIM110 - a generator needs memory in a kernel
        if columns[index] != columns[index - 4]:
            return False
    return True
