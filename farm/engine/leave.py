"""How players leave: surrender, removal, neutralisation, and the end of a game (farm.jit)."""

import numpy as np

from farm.engine.bits import ONE, bit_of, int64, lowest, popcount
from farm.engine.cells import show_cell, take_cell
from farm.engine.rules import (
    GENERAL_BECOMES_CITY,
    IDLE_TICKS,
    INACTIVITY,
    LENGTH_TICKS,
    NEUTRALISE_AFTER,
)
from farm.engine.state import (
    DEATHS,
    FALLEN,
    LAST_MOVE,
    LEFT,
    N_SIDES,
    NEUTRAL_OWNER,
    NEVER,
    OUTCOME,
    SECRETS,
    TERMINATED,
    TICK,
    WINNER,
    Game,
)
from farm.jit import inline, kernel
from farm.spec import tiles

_INACTIVE_LAND = 11
"""A player with fewer cells than this may be removed for doing nothing."""
_INACTIVE_TICK = 121
_INACTIVE_TICK_DUEL = 71
_DUEL = 2


@inline
def die(game: Game, player: int, killer: int) -> None:
    """Record a player's death.

    Writes:
        game.alive, game.killer, game.died_at, game.status.
    """
    game.alive[player] = 0
    game.killer[player] = killer
    game.died_at[player] = game.status[TICK]
    game.status[DEATHS] += 1


@kernel
def surrender(game: Game, player: int, tick: int) -> None:
    """Let a player leave: dead at once, its cells stay until they are neutralised.

    Args:
        game: the game.
        player: seat; nothing happens when it is dead.
        tick: tick counter from which the time to neutralisation runs.

    Writes:
        game: as `die`, and game.neutral_at.
    """
    if game.alive[player]:
        die(game, player, LEFT)
        if game.rules[NEUTRALISE_AFTER]:
            game.neutral_at[player] = tick + game.rules[NEUTRALISE_AFTER]


@kernel
def neutralise_due(game: Game, tick: int) -> None:
    """Neutralise the players whose time has come (RULES, step 8).

    Writes:
        game: as `neutralise`.
    """
    for player in range(game.n_seats):
        if game.neutral_at[player] == tick:
            neutralise(game, player)


@kernel
def neutralise(game: Game, player: int) -> None:
    """Give a dead player's cells to its first living teammate, else to nobody.

    Writes:
        game: cells of the player, game.general, game.fallen, game.neutral_at.
    """
    heir = NEUTRAL_OWNER
    for seat in range(game.n_seats - 1, -1, -1):
        if game.alive[seat] and game.side[seat] == game.side[player]:
            heir = seat
    for word in range(game.n_words):
        left = game.mine[player, word]
        while left:
            cell = (word << 6) + lowest(left)
            left &= left - ONE
            take_cell(game, cell, heir, int64(game.army[cell]))
    game.neutral_at[player] = NEVER
    fell(game, player)


@inline
def fell(game: Game, player: int) -> None:
    """Take a player's general off the game; its cell becomes a city at the end of the tick.

    Writes:
        game.general, game.fallen, game.status.
    """
    if game.general[player] >= 0 and game.rules[GENERAL_BECOMES_CITY]:
        game.fallen[player] = game.general[player]
        game.status[FALLEN] += 1
    game.general[player] = NEVER


@kernel
def build_cities(game: Game) -> None:
    """Turn the generals that fell in this tick into cities, in the sight of those who see them.

    It waits for the end of the tick because a cell that is lost from sight in the same tick was
    never seen as a city.

    Writes:
        game.terrain, game.fallen, game.secret, game.status, frames.
    """
    for player in range(game.n_seats):
        cell = int64(game.fallen[player])
        if cell >= 0:
            game.terrain[cell] = tiles.CITY
            game.fallen[player] = NEVER
            show_cell(game, cell)
            for side in range(game.status[N_SIDES]):
                if not game.seen[side, cell >> 6] & bit_of(cell):
                    game.secret[side, cell >> 6] |= bit_of(cell)
                    game.status[SECRETS] += 1
    game.status[FALLEN] = 0


@kernel
def discover(game: Game) -> None:
    """Note which cities that were generals have come into a side's sight by the end of a tick.

    Writes:
        game.secret, game.status.
    """
    left = 0
    for side in range(game.status[N_SIDES]):
        for word in range(game.n_words):
            game.secret[side, word] &= ~game.seen[side, word]
            left += popcount(game.secret[side, word])
    game.status[SECRETS] = left


@kernel
def judge(game: Game) -> None:
    """End the game when one side, or none, is left alive.

    Writes:
        game.status.
    """
    game.status[DEATHS] = 0
    winner = -1
    n_sides = 0
    for seat in range(game.n_seats):
        if game.alive[seat] and game.side[seat] != winner:
            winner = int64(game.side[seat])
            n_sides += 1
    if n_sides <= 1:
        game.status[OUTCOME] = TERMINATED
        game.status[WINNER] = winner


@inline
def limits_reached(game: Game, tick: int) -> bool:
    """Whether `apply_limits` has anything to do after this tick."""
    return bool(
        tick - game.status[LAST_MOVE] > game.rules[IDLE_TICKS]
        or tick > game.rules[LENGTH_TICKS]
        or game.rules[INACTIVITY] != 0
    )


@kernel
def apply_limits(game: Game, tick: int) -> None:
    """Remove players for doing nothing, and all but the strongest of a game that won't end.

    Writes:
        game: as `surrender` and `die`.
    """
    if game.rules[INACTIVITY]:
        _remove_inactive(game, tick)
    idle = tick - game.status[LAST_MOVE] > game.rules[IDLE_TICKS]
    if idle or tick > game.rules[LENGTH_TICKS]:
        best = -1
        for seat in range(game.n_seats):
            if game.alive[seat] and (best < 0 or _stronger(game, seat, best)):
                best = seat
        for seat in range(game.n_seats):
            if game.alive[seat] and seat != best:
                surrender(game, seat, tick)


@inline
def _stronger(game: Game, seat: int, other: int) -> bool:
    """Whether a seat has more army, or as much and more land, than one of lower index."""
    if game.total_army[seat] != game.total_army[other]:
        return bool(game.total_army[seat] > game.total_army[other])
    return bool(game.land[seat] > game.land[other])


@inline
def _remove_inactive(game: Game, tick: int) -> None:
    due = _INACTIVE_TICK_DUEL if game.n_seats == _DUEL else _INACTIVE_TICK
    if tick != due:
        return
    for seat in range(game.n_seats):
        idle = game.alive[seat] and game.last_move[seat] == NEVER
        if idle and game.land[seat] < _INACTIVE_LAND and not _has_contact_or_city(game, seat):
            surrender(game, seat, tick)


@inline
def _has_contact_or_city(game: Game, seat: int) -> bool:
    """Whether the seat sees a cell of another side, or owns a city."""
    for cell in range(game.n_cells):
        owner = game.owner[cell]
        if owner == seat and game.terrain[cell] == tiles.CITY:
            return True
        seen = game.seen_by[cell] & np.uint16(1 << seat)
        if owner >= 0 and seen and game.side[owner] != game.side[seat]:
            return True
    return False
