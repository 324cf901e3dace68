"""The kernels of a host: play every tick that is due, and take packed actions (farm.jit)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import int64
from farm.engine.cells import tile_code, write_scores
from farm.engine.combat import carry_out
from farm.engine.leave import judge, surrender
from farm.engine.order import (
    DESTINATION,
    HALF,
    SEAT,
    START,
    is_friendly,
    is_valid,
    neighbour,
    order_moves,
)
from farm.engine.queues import Queues, select_orders
from farm.engine.rewards import reward_of, take_stock
from farm.engine.state import (
    DEATHS,
    OUTCOME,
    PLAYING,
    TICK,
    Game,
    Games,
    game_frame_bytes,
    score_start,
    view,
)
from farm.engine.step import finish_tick
from farm.games import scripts
from farm.games.due import find_due, wind
from farm.games.scripts import Script
from farm.games.slots import NO_BOT, Clocks
from farm.jit import inline, kernel
from farm.policies.dispatch import choose
from farm.shm.atomics import fetch_add
from farm.shm.control import NEXT_GAME_OFFSET
from farm.spec import tiles
from farm.spec.actions import ACTIONS_PER_CELL, DOWN, RIGHT, UP
from farm.spec.actions import LEFT as TO_LEFT
from farm.spec.limits import MAX_ARMY_SEEN

# Columns of what happened: the seat that it happened to and the one that did it (-1 for none), the
# cell (-1 for none), a mask of the seats that see it, the ticks played by then.
ROW, WHAT, WHO, BY, WHERE, VIEWERS, WHEN = range(7)
N_COLUMNS: Final = 7

ELIMINATED: Final = 0
GENERAL_TAKEN: Final = 1
CITY_TAKEN: Final = 2
MAX_HAPPENINGS: Final = 48
"""Of one game in one tick: two for each seat, and one for each move."""

# Rows of `Clocks.before`, first by move, then by seat.
_MOVER, _TARGET, _OWNER, _IS_CITY = range(4)
_HOME, _WAITING = range(4, 6)
_REFUSED, _DONE, _TICKS = range(3)
"""What becomes of a step of a script: it cannot be, it is done, a tick is to be played."""
# Columns of `Clocks.act_ns`.
SUM, LONGEST, COUNT = range(3)
# What a call counts.
PLAYED, HAPPENED, DUE = range(3)


@kernel
def advance(
    games: Games,
    queues: Queues,
    clocks: Clocks,
    weights: NDArray[np.float32],
    shaped: bool,  # noqa: FBT001 - Numba has no keyword-only arguments
    now_ns: int,
    act_timeout_ns: int,
    script: Script,
    most_ns: int,
    n_chosen: int,
    rows: NDArray[np.int64],
    happened: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> int:
    """Play one tick of every game that is due; or what a script says of one game, without a clock.

    A timed game is due at its time; one in lockstep when every living agent has acted or has an
    order waiting, or at the end of its patience. Where more is due than is expected to fit into
    `most_ns`, nothing is played: the caller chooses among `rows`, and calls again. All of it is in
    one kernel because each that plays ticks takes as long to compile as all others together.

    Args:
        games: the batch.
        queues: orders that wait.
        clocks: see there.
        weights: float32[N_WEIGHTS], what a tick is worth (engine.rewards), read.
        shaped: whether `is_shaped(weights)`.
        now_ns: monotonic.
        act_timeout_ns: patience of games in lockstep.
        script: read.
        most_ns: what a call may be expected to take.
        n_chosen: play so many of `rows`, which were found to be due; 0 looks for them.
        rows: int64[G], set to the rows that are due unless they are chosen.
        happened: int32[G * MAX_HAPPENINGS, N_COLUMNS], set to what happened, by row and tick.
        counts: int64[3], set to how many ticks were played, how much happened, and how many games
            are due.

    Returns:
        Steps of the script that are done: not all where one cannot be, or `happened` is full.

    Writes:
        games, queues, clocks, rows, happened, counts.
    """
    counts[:] = 0
    is_again = script.row >= 0
    n = script.steps.shape[0] if is_again else n_chosen
    if not is_again and n_chosen == 0:
        n, all_ns = find_due(games, queues, clocks, now_ns, rows)
        counts[DUE] = n
        if all_ns > most_ns and n > 1:
            return 0
    for i in range(n):
        g = script.row if is_again else rows[i]
        if is_again:
            step = _repeat(games, queues, clocks, g, script.steps[i])
            if step == _DONE:
                continue
            if step == _REFUSED or counts[HAPPENED] + MAX_HAPPENINGS > happened.shape[0]:
                return i
        counts[HAPPENED] = _play(
            games, queues, clocks, weights, shaped, g, is_again, happened, counts[HAPPENED]
        )
        if is_again:
            clocks.acted[g, :] = 0
        else:
            wind(games, clocks, g, now_ns, act_timeout_ns)
        counts[PLAYED] += 1
    return n


@kernel
def submit_many(
    games: Games,
    queues: Queues,
    clocks: Clocks,
    rows: NDArray[np.int64],
    seats: NDArray[np.int64],
    actions: NDArray[np.int32],
    now_ns: int,
) -> None:
    """Take an action of each of many seats; one that is not legal is counted, and passes.

    Args:
        games: the batch, read.
        queues: orders that wait.
        clocks: see there.
        rows: int64[k], of games that are played, read.
        seats: int64[k], read.
        actions: int32[k], action indices, read.
        now_ns: monotonic.

    Writes:
        queues, clocks.
    """
    capacity = queues.orders.shape[2]
    for k in range(rows.size):
        g, seat, action = rows[k], seats[k], int64(actions[k])
        game = view(games, g)
        if not game.alive[seat] or clocks.bot[g, seat] != NO_BOT:
            continue
        end = _destination(game, seat, action)
        waiting = int64(queues.n_orders[g, seat])
        if end >= 0 and waiting < capacity:
            order = queues.orders[g, seat, (queues.first[g, seat] + waiting) % capacity]
            order[0], order[1], order[2] = action // ACTIONS_PER_CELL, end, action & 1
            queues.n_orders[g, seat] += 1
            clocks.accepted[g, seat] += 1
        elif action == ACTIONS_PER_CELL * game.n_cells:
            clocks.accepted[g, seat] += 1
        else:
            clocks.rejected[g, seat] += 1
        acted(clocks, g, seat, now_ns)


@kernel
def acted(clocks: Clocks, g: int, seat: int, now_ns: int) -> None:
    """A seat has acted for this tick: how long that took counts once a tick.

    Writes:
        clocks: acted, act_ns.
    """
    if clocks.acted[g, seat] or not clocks.runs[g]:
        clocks.acted[g, seat] = 1
        return
    clocks.acted[g, seat] = 1
    took_ns = max(now_ns - clocks.asked_ns[g], 0)
    times = clocks.act_ns[g, seat]
    times[SUM] += took_ns
    times[LONGEST] = max(times[LONGEST], took_ns)
    times[COUNT] += 1


@kernel
def leave(games: Games, g: int, seat: int) -> None:
    """Let a seat leave between two ticks; the game may be over with it.

    Writes:
        games: row `g`.
    """
    game = view(games, g)
    surrender(game, seat, int64(game.status[TICK]))
    if game.status[DEATHS]:
        judge(game)
    write_scores(game)


@kernel
def show_all(games: Games, clocks: Clocks, g: int) -> None:
    """Write what each seat of a game without fog is shown.

    Writes:
        clocks.clear: row `g`.
    """
    _show_all(view(games, g), clocks.clear[g])


@kernel
def take_numbers(control: NDArray[np.uint8], n_numbers: int) -> int:
    """The first of some numbers for games, which nobody else of the farm gets.

    Args:
        control: uint8[n], the control block.
        n_numbers: how many.

    Writes:
        control.
    """
    return fetch_add(control, NEXT_GAME_OFFSET, n_numbers)


@inline
def _repeat(games: Games, queues: Queues, clocks: Clocks, g: int, step: NDArray[np.int32]) -> int:
    """Let a step of a script have its effect, but for that of a tick."""
    what, seat = step[0], step[1]
    if what == scripts.TICK:
        return _TICKS if games.status[g, OUTCOME] == PLAYING else _REFUSED
    if what == scripts.FORGET:
        queues.first[g, seat] = 0
        queues.n_orders[g, seat] = 0
        return _DONE
    if what == scripts.ACTED:
        clocks.written[g, seat] = queues.n_orders[g, seat]
        clocks.acted[g, seat] = 1
        clocks.accepted[g, seat] += 1
        return _DONE
    capacity = queues.orders.shape[2]
    waiting = int64(queues.n_orders[g, seat])
    if waiting == capacity:
        return _REFUSED
    order = queues.orders[g, seat, (queues.first[g, seat] + waiting) % capacity]
    order[0], order[1], order[2] = step[2], step[3], step[4]
    queues.n_orders[g, seat] += 1
    if what == scripts.PLAYED and clocks.bot[g, seat] == NO_BOT:
        clocks.accepted[g, seat] += 1
    return _DONE


@inline
def _play(
    games: Games,
    queues: Queues,
    clocks: Clocks,
    weights: NDArray[np.float32],
    shaped: bool,  # noqa: FBT001 - Numba has no keyword-only arguments
    g: int,
    is_again: bool,  # noqa: FBT001
    happened: NDArray[np.int32],
    n_happened: int,
) -> int:
    """Play a tick of one game; how many happenings there are then.

    Of a game that is played again the orders of bots are there already: bots choose once more, for
    the sake of what they remember, and that is all.
    """
    game = view(games, g)
    living = int64(0)
    for seat in range(game.n_seats):
        living |= int64(game.alive[seat]) << seat
        if game.alive[seat] and clocks.bot[g, seat] != NO_BOT:
            _ask_bot(game, queues, clocks, g, seat, is_again)
        if shaped:
            take_stock(game, seat, clocks.stock[seat])
    _note_homes(game, queues, clocks, g)
    n_moves = select_orders(game, queues, g)
    _note_moves(game, queues, clocks, g, n_moves)
    order_moves(game, n_moves)
    carry_out(game, n_moves)
    finish_tick(game)
    for seat in range(game.n_seats):
        lived = (living >> seat) & 1
        clocks.reward[g, seat] = (
            reward_of(game, seat, weights, shaped, clocks.stock[seat]) if lived else 0.0
        )
    if clocks.shows_all[g]:
        _show_all(game, clocks.clear[g])
    n_happened = _tell_deaths(game, clocks, g, living, n_moves, happened, n_happened)
    return _tell_cities(game, clocks, g, n_moves, happened, n_happened)


@inline
def _ask_bot(
    game: Game,
    queues: Queues,
    clocks: Clocks,
    g: int,
    seat: int,
    is_again: bool,  # noqa: FBT001
) -> None:
    """Let a policy put its order behind what waits, which for a bot is nothing."""
    action, _ = choose(clocks.bot[g, seat], game, seat)
    if is_again:
        return
    waiting = int64(queues.n_orders[g, seat])
    capacity = queues.orders.shape[2]
    end = _destination(game, seat, int64(action))
    if end >= 0 and waiting < capacity:
        order = queues.orders[g, seat, (queues.first[g, seat] + waiting) % capacity]
        order[0], order[1], order[2] = action // ACTIONS_PER_CELL, end, action & 1
        queues.n_orders[g, seat] += 1


@inline
def _destination(game: Game, seat: int, action: int) -> int:
    """Cell that a legal move ends on; -1 for a pass or what is not legal."""
    if action < 0 or action >= ACTIONS_PER_CELL * game.n_cells:
        return -1
    start = action // ACTIONS_PER_CELL
    end = neighbour(game, start, (action >> 1) & 3)
    return end if end >= 0 and is_valid(game, seat, start, end) else -1


@inline
def _note_homes(game: Game, queues: Queues, clocks: Clocks, g: int) -> None:
    """Note where the generals are, and how many orders wait."""
    before = clocks.before
    for seat in range(game.n_seats):
        home = int64(game.general[seat])
        before[_HOME, seat] = home
        before[_WAITING, seat] = queues.n_orders[g, seat]
        clocks.chosen[g, seat] = ACTIONS_PER_CELL * game.n_cells
        clocks.unwritten[g, seat] = 0


@inline
def _note_moves(game: Game, queues: Queues, clocks: Clocks, g: int, n_moves: int) -> None:
    """Note what was chosen, whether the journal has it, and what the cells were before."""
    before, moves = clocks.before, game.scratch
    for i in range(n_moves):
        seat, start, end = moves[SEAT, i], moves[START, i], moves[DESTINATION, i]
        direction = _direction(game, start, end)
        clocks.chosen[g, seat] = start * ACTIONS_PER_CELL + direction * 2 + moves[HALF, i]
        taken = before[_WAITING, seat] - queues.n_orders[g, seat]
        clocks.unwritten[g, seat] = taken > clocks.written[g, seat]
        before[_MOVER, i], before[_TARGET, i] = seat, end
        before[_OWNER, i] = game.owner[end]
        before[_IS_CITY, i] = game.terrain[end] == tiles.CITY
    for seat in range(game.n_seats):
        taken = before[_WAITING, seat] - queues.n_orders[g, seat]
        clocks.written[g, seat] = max(clocks.written[g, seat] - taken, 0)


@inline
def _direction(game: Game, start: int, end: int) -> int:
    if end == start - game.width:
        return UP
    if end == start + game.width:
        return DOWN
    return TO_LEFT if end == start - 1 else RIGHT


@inline
def _tell_deaths(
    game: Game,
    clocks: Clocks,
    g: int,
    living: int,
    n_moves: int,
    happened: NDArray[np.int32],
    n_happened: int,
) -> int:
    for seat in range(game.n_seats):
        if game.alive[seat]:
            continue
        is_new = (living >> seat) & 1
        home = clocks.before[_HOME, seat]
        by = max(int64(game.killer[seat]), -1) if is_new else _captor(game, clocks, seat, n_moves)
        if by >= 0 and home >= 0:
            # Whoever it was knows where; of the others those who see it now.
            seen_by = int64(game.seen_by[home]) | (int64(1) << seat)
            _tell(happened, n_happened, game, g, GENERAL_TAKEN, seat, by, home, seen_by)
            n_happened += 1
        if is_new:
            _tell(happened, n_happened, game, g, ELIMINATED, seat, by, -1, 0)
            n_happened += 1
    return n_happened


@inline
def _captor(game: Game, clocks: Clocks, seat: int, n_moves: int) -> int:
    """Who took the general that a player left behind, of whom the engine notes no killer; else -1.

    A teammate may inherit it in the same tick, which takes nothing.
    """
    before = clocks.before
    home = before[_HOME, seat]
    if home < 0 or game.general[seat] >= 0:
        return -1
    for i in range(n_moves):
        mover = before[_MOVER, i]
        took = before[_TARGET, i] == home and game.owner[home] == mover
        if took and not is_friendly(game, mover, seat):
            return int64(mover)
    return -1


@inline
def _tell_cities(
    game: Game, clocks: Clocks, g: int, n_moves: int, happened: NDArray[np.int32], n_happened: int
) -> int:
    before = clocks.before
    for i in range(n_moves):
        seat, cell, owner = before[_MOVER, i], before[_TARGET, i], before[_OWNER, i]
        if not before[_IS_CITY, i] or game.owner[cell] != seat:
            continue
        if owner == seat or is_friendly(game, seat, owner):
            continue
        seen_by = int64(game.seen_by[cell])
        _tell(happened, n_happened, game, g, CITY_TAKEN, max(owner, -1), seat, cell, seen_by)
        n_happened += 1
    return n_happened


@inline
def _tell(
    happened: NDArray[np.int32],
    i: int,
    game: Game,
    g: int,
    what: int,
    who: int,
    by: int,
    where: int,
    viewers: int,
) -> None:
    row = happened[i]
    row[ROW], row[WHAT], row[WHO], row[BY] = g, what, who, by
    row[WHERE], row[VIEWERS], row[WHEN] = where, viewers, game.status[TICK]


@inline
def _show_all(game: Game, frames: NDArray[np.uint8]) -> None:
    """Write frames without fog: the board as each seat sees owners, and its own scoreboard."""
    n = game.n_cells
    for seat in range(game.n_seats):
        frame = frames[seat]
        for cell in range(n):
            army = min(int64(game.army[cell]), MAX_ARMY_SEEN)
            frame[2 * cell] = np.uint8(army & 255)
            frame[2 * cell + 1] = np.uint8(army >> 8)
            frame[2 * n + cell] = np.uint8(tile_code(game, seat, cell))
        for at in range(score_start(game), game_frame_bytes(game)):
            frame[at] = game.frames[seat, at]
