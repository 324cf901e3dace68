"""Setting up a game: seating, the map, and everything that follows from it (farm.jit)."""

import numpy as np
from numpy.typing import NDArray

from farm.engine.bits import ONE, ZERO, bit_of, int64
from farm.engine.cells import fog_tile, take_cell, write_scores
from farm.engine.maps.fixed import lay_fixed
from farm.engine.maps.official import lay_official
from farm.engine.maps.toy import lay_toy
from farm.engine.maps.uniform import scatter
from farm.engine.order import neighbour
from farm.engine.rng import stream_key
from farm.engine.rules import START_ARMY
from farm.engine.settings import (
    CITIES,
    FIXED,
    HEIGHT,
    MAP,
    MOUNTAINS,
    OFFICIAL,
    SEATS,
    TICKS,
    TOY,
    WIDTH,
    Settings,
)
from farm.engine.state import (
    LAST_MOVE,
    MAX_TICKS,
    MOUNTAIN_OWNER,
    N_SIDES,
    NEUTRAL_OWNER,
    NEVER,
    NOBODY,
    WINNER,
    Game,
    Games,
    view,
)
from farm.jit import inline, kernel
from farm.spec import tiles
from farm.spec.actions import N_DIRECTIONS
from farm.spec.limits import MAX_SEATS


@kernel
def reset_game(
    games: Games, g: int, seed: np.uint64, game_number: np.uint64, settings: Settings
) -> None:
    """Set up game `g` of the batch: the same for the same seed, game number and settings.

    Args:
        games: the batch; the board and the seats must fit its arrays.
        g: row.
        seed: the farm's seed.
        game_number: the game's number under that seed.
        settings: read.

    Writes:
        games: row `g`.
    """
    _prepare_game(games, g, seed, game_number, settings)
    kind = settings.numbers[MAP]
    if kind == OFFICIAL:
        lay_official(games, g, settings.numbers)
    elif kind == FIXED:
        lay_fixed(view(games, g), settings)
    elif kind == TOY:
        lay_toy(view(games, g))
    else:
        scatter(view(games, g), settings.numbers[MOUNTAINS], settings.numbers[CITIES])
    # The size may have been drawn.
    _open_game(view(games, g))


@inline
def _prepare_game(
    games: Games, g: int, seed: np.uint64, game_number: np.uint64, settings: Settings
) -> None:
    """Write a game's numbers, seating and random streams, and clear its board.

    A map is then to be written into terrain, army and general (maps/), and `_open_game` called.

    Writes:
        games: row `g`.
    """
    games.height[g] = settings.numbers[HEIGHT]
    games.width[g] = settings.numbers[WIDTH]
    games.n_seats[g] = settings.numbers[SEATS]
    games.game_number[g] = game_number
    game = view(games, g)
    for rule in range(game.rules.size):
        game.rules[rule] = settings.rules[rule]
    game.status[:] = 0
    game.status[WINNER] = -1
    game.status[LAST_MOVE] = NEVER
    game.status[MAX_TICKS] = settings.numbers[TICKS]
    for purpose in range(game.n_seats):
        game.rng[purpose] = stream_key(seed, game_number, purpose)
    game.rng[game.rng.size - 1] = stream_key(seed, game_number, MAX_SEATS)
    _clear_board(game)
    _clear_players(game)
    _seat(game, settings.teams)


@inline
def _clear_board(game: Game) -> None:
    game.owner[:] = NEUTRAL_OWNER
    game.army[:] = 0
    game.terrain[:] = tiles.PLAIN
    game.seen_by[:] = 0
    game.sight[:] = 0
    game.seen[:] = ZERO
    game.secret[:] = ZERO
    game.mine[:] = ZERO
    game.movable[:] = ZERO
    game.single[:] = ZERO
    game.dirty_army[:] = ZERO
    game.dirty_tile[:] = ZERO
    game.open_to[:] = ZERO
    game.structure[:] = ZERO
    game.swamp[:] = ZERO
    game.desert[:] = ZERO
    game.frames[:] = 0


@inline
def _clear_players(game: Game) -> None:
    game.alive[:] = 0
    game.general[:] = NEVER
    game.fallen[:] = NEVER
    game.total_army[:] = 0
    game.land[:] = 0
    game.neutral_at[:] = NEVER
    game.last_move[:] = NEVER
    game.killer[:] = NOBODY
    game.died_at[:] = NEVER


@inline
def _seat(game: Game, teams: NDArray[np.int8]) -> None:
    """Number the sides by their first seat, and rank the players in each seat's view."""
    n_sides = 0
    game.side_seats[:] = 0
    for seat in range(game.n_seats):
        side = n_sides
        for earlier in range(seat - 1, -1, -1):
            if teams[earlier] == teams[seat]:
                side = int64(game.side[earlier])
        n_sides = max(n_sides, side + 1)
        game.side[seat] = side
        game.side_seats[side] |= np.uint16(1 << seat)
    game.status[N_SIDES] = n_sides
    for seat in range(game.n_seats):
        rank = 1
        game.rank[seat, seat] = 0
        for friends in (True, False):
            for player in range(game.n_seats):
                if player != seat and (game.side[player] == game.side[seat]) == friends:
                    game.rank[seat, player] = rank
                    rank += 1


@inline
def _open_game(game: Game) -> None:
    """Derive everything from a map: terrain and army of neutral cells, and the generals' cells.

    A player without a general (NEVER) is dead from the start. Every cell counts as changed for the
    readers of dirty bits.

    Writes:
        game.
    """
    for cell in range(game.n_cells):
        if game.terrain[cell] == tiles.MOUNTAIN:
            game.owner[cell] = MOUNTAIN_OWNER
        elif game.terrain[cell] == tiles.GENERAL:
            game.terrain[cell] = tiles.PLAIN
    for seat in range(game.n_seats):
        if game.general[seat] >= 0:
            game.terrain[game.general[seat]] = tiles.GENERAL
    _draw_bitmaps(game)
    for cell in range(game.n_cells):
        fog = fog_tile(game, 0, cell)
        for seat in range(game.n_seats):
            game.frames[seat, 2 * game.n_cells + cell] = fog
    for seat in range(game.n_seats):
        if game.general[seat] >= 0:
            game.alive[seat] = 1
            take_cell(game, int64(game.general[seat]), seat, int64(game.rules[START_ARMY]))
    write_scores(game)
    _mark_everything(game)


@inline
def _draw_bitmaps(game: Game) -> None:
    for cell in range(game.n_cells):
        terrain = game.terrain[cell]
        word = cell >> 6
        bit = bit_of(cell)
        if terrain in (tiles.CITY, tiles.GENERAL):
            game.structure[word] |= bit
        elif terrain == tiles.SWAMP:
            game.swamp[word] |= bit
        elif terrain == tiles.DESERT:
            game.desert[word] |= bit
        for direction in range(N_DIRECTIONS):
            to = neighbour(game, cell, direction)
            if to >= 0 and game.terrain[to] != tiles.MOUNTAIN:
                game.open_to[word, direction] |= bit


@inline
def _mark_everything(game: Game) -> None:
    for seat in range(game.n_seats):
        for word in range(game.n_words):
            bits = ~ZERO
            if (word + 1) << 6 > game.n_cells:
                bits = (ONE << np.uint64(game.n_cells & 63)) - ONE
            game.dirty_army[seat, word] = bits
            game.dirty_tile[seat, word] = bits
