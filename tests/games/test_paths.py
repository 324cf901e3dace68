"""One game, whatever way its actions take and whatever row it has; and what no fog shows."""

import numpy as np
import pytest
from playing import Playing, duel_spec, games_config, image

from farm.spec import frame_dtype, tiles
from farm.spec.actions import pass_action

pytestmark = pytest.mark.timeout(300)


def index_of(game, move):
    if move is None:
        return pass_action(game.n_cells)
    start, end, half = move
    return start * 8 + (-game.width, game.width, -1, 1).index(end - start) * 2 + half


def board_of(playing, game):
    """Everything of a game's row that the game reads, but for what only single actions leave."""
    # Those of seats that the game does not have are another game's, and nobody looks at them.
    n, row, games = game.spec.n_seats, game.row, playing.slots.games
    found = image(playing, game)
    kept = {key: value for key, value in found.items() if isinstance(value, bytes)}
    for key in ("rank", "side", "rng", "acted", "game_number"):
        del kept[key]
    own = (games.rank[row, :n, :n], games.side[row, :n], games.rng[row, :n], games.rng[row, -1:])
    return kept, [array.tolist() for array in own]


@pytest.mark.parametrize(
    "changes",
    [{}, {"bots": {1: "hunter"}}, {"n_seats": 4, "teams": (0, 1, 0, 1), "no_fog": True}],
    ids=["duel", "bot", "teams"],
)
def test_packed_and_single_actions_make_the_same_game_in_any_row(changes):
    one, other = Playing(), Playing(games_config(max_games=5))
    # The other's row was another game's before, with moves waiting, and is not the first.
    other.start()
    used = other.start(n_seats=4, no_fog=True, bots={2: "hunter"})
    for _ in range(30):
        for seat in (0, 1, 3):
            move = other.random_move(used, seat, np.random.default_rng(seat))
            other.submit(used, seat, *([move, move] if move else []))
        other.poll(0.1)
    row = used.row
    other.host.cancel(used, other.now_ns, other.wall_ns)
    single, packed = one.start(duel_spec(**changes)), other.start(duel_spec(**changes))
    assert (single.row, packed.row) == (0, row)
    rng = np.random.default_rng(8)
    while single.is_open and single.tick < 120:
        agents = [s for s, held in enumerate(single.seats) if held.digest and single.is_alive(s)]
        moves = [one.random_move(single, seat, rng) for seat in agents]
        for seat, move in zip(agents, moves, strict=True):
            one.submit(single, seat, *([move] if move else []))
        actions = np.array([index_of(packed, move) for move in moves], np.int32)
        rows = np.full(len(agents), packed.row)
        other.host.submit_many(rows, np.array(agents), actions, other.now_ns)
        assert (one.poll(), other.poll()) == (1, 1)
        assert single.board.frames.tobytes() == packed.board.frames.tobytes()
        assert (single.tick, single.phase) == (packed.tick, packed.phase)
        if single.is_open:
            assert board_of(one, single) == board_of(other, packed)
    assert single.winners == packed.winners
    assert single.tick > 40


def tile_seen(game, board, seat, cell):
    """What a seat is shown of a cell where nothing is hidden, by the words of spec.tiles."""
    owner = int(board.owner[cell])
    order = sorted(
        range(game.spec.n_seats),
        key=lambda other: (other != seat, game.sides[other] != game.sides[seat], other),
    )
    relative = tiles.NEUTRAL if owner < 0 else tiles.SELF + order.index(owner)
    return int(board.terrain[cell]) << tiles.OWNER_BITS | relative


@pytest.mark.parametrize("teams", [(), (0, 1, 1, 0)], ids=["alone", "teams"])
def test_without_fog_every_seat_sees_every_cell_as_its_own_codes_say(teams):
    host = Playing()
    bots = dict.fromkeys(range(4), "expander")
    game = host.start(n_seats=4, height=9, width=11, teams=teams, no_fog=True, bots=bots)
    host.wait(0.3, step_s=0.001)
    assert game.tick > 100
    board = game.board
    dtype = frame_dtype(game.height, game.width, 4)
    for seat in range(4):
        seen = game.frame(seat).view(dtype)[0]
        expected = [tile_seen(game, board, seat, cell) for cell in range(game.n_cells)]
        assert seen["tile"].ravel().tolist() == expected
        assert seen["army"].ravel().tolist() == board.army.tolist()
        assert seen["total_army"][0] == board.total_army[seat]
        assert seen["total_land"].sum() == board.land.sum()
