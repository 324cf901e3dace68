"""Carrying out one move: combat, the capture of a general, general trade (farm.jit)."""

from farm.engine.bits import ONE, int64, lowest
from farm.engine.cells import set_army, take_cell
from farm.engine.leave import die, fell
from farm.engine.order import DESTINATION, HALF, SEAT, SEQUENCE, START, is_friendly, is_valid
from farm.engine.rules import CAPTURE_HALVES, GENERAL_TRADE
from farm.engine.state import LAST_MOVE, NEVER, TICK, Game
from farm.jit import inline, kernel

_USED = -1
"""In place of a seat: the move was used up by a trade."""


@inline
def carry_out(game: Game, n_moves: int) -> None:
    """Carry out the ordered moves in `game.scratch` (RULES, step 4).

    Writes:
        game: cells, and what a capture changes.
    """
    for k in range(n_moves):
        i = game.scratch[SEQUENCE, k]
        seat = game.scratch[SEAT, i]
        if seat == _USED:
            continue
        start = game.scratch[START, i]
        destination = game.scratch[DESTINATION, i]
        if not is_valid(game, seat, start, destination):
            continue
        game.last_move[seat] = game.status[TICK]
        game.status[LAST_MOVE] = game.status[TICK]
        owner = int64(game.owner[destination])
        onto_general = (
            owner >= 0 and game.general[owner] == destination and not is_friendly(game, seat, owner)
        )
        if onto_general and k + 1 < n_moves and game.rules[GENERAL_TRADE]:
            partner = trade_partner(game, k, n_moves)
            if partner >= 0:
                trade(game, i, partner)
                continue
        army = int64(game.army[start])
        kept = reserve(army, game.scratch[HALF, i])
        set_army(game, start, kept)
        _arrive(game, seat, destination, owner, army - kept)


@inline
def reserve(army: int, half: int) -> int:
    """Army that stays on the start of a move."""
    return (army + 1) >> 1 if half else 1


@inline
def _arrive(game: Game, seat: int, cell: int, owner: int, sent: int) -> None:
    there = int64(game.army[cell])
    friendly = is_friendly(game, seat, owner)
    if friendly:
        there += sent
    else:
        there -= sent
    if owner == seat or (friendly and game.general[owner] == cell):
        set_army(game, cell, there)
    elif friendly:
        take_cell(game, cell, seat, there)
    elif there >= 0:
        set_army(game, cell, there)
    elif owner >= 0 and game.general[owner] == cell:
        capture(game, seat, owner, cell, -there)
    else:
        take_cell(game, cell, seat, -there)


@kernel
def capture(game: Game, captor: int, victim: int, cell: int, army: int) -> None:
    """Take a player's general, and with it every cell of the player.

    Writes:
        game: cells of the victim, and as `die` and `fell`.
    """
    fell(game, victim)
    take_cell(game, cell, captor, army)
    die_once(game, victim, captor)
    halves = game.rules[CAPTURE_HALVES] != 0
    for word in range(game.n_words):
        left = game.mine[victim, word]
        while left:
            taken = (word << 6) + lowest(left)
            left &= left - ONE
            there = int64(game.army[taken])
            take_cell(game, taken, captor, (there + 1) >> 1 if halves else there)


@inline
def die_once(game: Game, victim: int, captor: int) -> None:
    """Record the elimination of a player, who may have left before and not be neutral yet."""
    if game.alive[victim]:
        die(game, victim, captor)
    game.neutral_at[victim] = NEVER


@kernel
def trade_partner(game: Game, k: int, n_moves: int) -> int:
    """The later move that makes the k-th one, onto a general, a general trade.

    Returns:
        Its column in `game.scratch`, or -1.
    """
    moves = game.scratch
    i = moves[SEQUENCE, k]
    seat = moves[SEAT, i]
    other = int64(game.owner[moves[DESTINATION, i]])
    home = int64(game.general[seat])
    for later in range(k + 1, n_moves):
        j = int64(moves[SEQUENCE, later])
        if moves[SEAT, j] == other and moves[DESTINATION, j] == home:
            strong = _breaks(game, i, j) and _breaks(game, j, i)
            if strong and is_valid(game, other, moves[START, j], home):
                return j
    return -1


@inline
def _breaks(game: Game, i: int, j: int) -> bool:
    """Whether move `i` takes the general that it ends on, once move `j` has left."""
    return _sent(game, i) > _defence(game, i, j)


@inline
def _sent(game: Game, i: int) -> int:
    army = int64(game.army[game.scratch[START, i]])
    return army - reserve(army, game.scratch[HALF, i])


@inline
def _defence(game: Game, i: int, j: int) -> int:
    """Army on the destination of move `i`, without what move `j` takes away from it."""
    cell = game.scratch[DESTINATION, i]
    army = int64(game.army[cell])
    return army - _sent(game, j) if game.scratch[START, j] == cell else army


@kernel
def trade(game: Game, i: int, j: int) -> None:
    """Let two players who take each other's general swap lands, generals included.

    Writes:
        game: cells of both, game.general; uses up both moves.
    """
    moves = game.scratch
    one, two = moves[SEAT, i], moves[SEAT, j]
    home_one, home_two = int64(game.general[one]), int64(game.general[two])
    won_by_one = _sent(game, i) - _defence(game, i, j)
    won_by_two = _sent(game, j) - _defence(game, j, i)
    kept_one = int64(game.army[moves[START, i]]) - _sent(game, i)
    kept_two = int64(game.army[moves[START, j]]) - _sent(game, j)
    set_army(game, moves[START, i], kept_one)
    set_army(game, moves[START, j], kept_two)
    for word in range(game.n_words):
        of_one = game.mine[one, word]
        of_two = game.mine[two, word]
        both = of_one | of_two
        while both:
            bit = both & (~both + ONE)
            cell = (word << 6) + lowest(both)
            both ^= bit
            army = (int64(game.army[cell]) + 1) >> 1
            take_cell(game, cell, two if of_one & bit else one, army)
    set_army(game, home_two, won_by_one)
    set_army(game, home_one, won_by_two)
    game.general[one] = home_two
    game.general[two] = home_one
    game.last_move[two] = game.status[TICK]
    moves[SEAT, i] = _USED
    moves[SEAT, j] = _USED
