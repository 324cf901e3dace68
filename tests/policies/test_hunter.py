"""The hunter defends its general, gathers, and takes the enemy's; from what it saw alone."""

import itertools

import numpy as np
import pytest
from engine.kernels import place
from engine.players import KernelPlayer
from engine.random_games import SEEDS, boards, vectors
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from policies.scene import Scene, chosen, count_illegal

from farm.engine import rules
from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.policies.registry import EXPANDER, HUNTER, RANDOM
from farm.spec import encode_action, tiles
from farm.spec.actions import DOWN, LEFT, N_DIRECTIONS, RIGHT, UP

GENERALS = (0, 24)
WIDE = {"height": 5, "width": 9}


@pytest.mark.parametrize("garrison", [1, 7])
def test_it_takes_a_general_in_reach_before_anything_else(garrison):
    game = Scene(GENERALS, cities=(22,), city_armies=(2,))
    game.place(24, 1, garrison)
    game.place(23, 0, 9)
    game.place(19, 0, 8)
    assert game.action() == encode_action(23, RIGHT, 0)


def test_it_does_not_throw_an_army_at_a_general_that_is_too_strong():
    game = Scene(GENERALS)
    game.place(24, 1, 8)
    game.place(23, 0, 9)
    assert game.action() != encode_action(23, RIGHT, 0)


def test_an_army_beside_its_general_is_struck_by_a_stronger_one():
    game = Scene(GENERALS)
    game.place(0, 0, 3)
    game.place(1, 1, 9)
    game.place(2, 0, 11)
    assert game.action() == encode_action(2, LEFT, 0)


def test_its_general_is_reinforced_when_nothing_can_strike_the_army_beside_it():
    game = Scene(GENERALS)
    game.place(0, 0, 3)
    game.place(1, 1, 9)
    game.place(5, 0, 8)
    game.place(15, 0, 20)
    assert game.action() == encode_action(5, UP, 0)


def test_what_its_general_was_too_weak_for_alone_it_survives():
    game = Scene(GENERALS)
    game.place(0, 0, 3)
    game.place(2, 1, 9)
    game.place(1, 0, 1)
    game.place(5, 0, 8)
    for enemy in ((1, 2, 1), (1, 1, 0)):
        start, direction = divmod(game.action() // 2, N_DIRECTIONS)
        game.play((0, start, start + (-5, 5, -1, 1)[direction]), enemy)
    assert game.alive(0)
    assert game.owner[0] == 0


def test_it_leaves_what_it_is_at_for_the_defence():
    game = walled_in()
    game.act()
    game.place(12, 1, 30)
    game.place(24, 0, 2)
    game.place(25, 0, 40)
    assert game.action() == encode_action(25, LEFT, 0)


def walled_in():
    """All land is seat 0's; two armies are in the far corners, the enemy's general is in sight."""
    game = Scene((24, 35), mountains=(23, 47), height=5, width=12)
    game.pass_the_opening()
    game.place(34, 1, 20)
    game.fill(0)
    game.place(0, 0, 20)
    game.place(48, 0, 20)
    return game


def test_it_gathers_towards_a_general_that_it_knows():
    game = walled_in()
    moves = [game.act() for _ in range(12)]
    for start, end in moves:
        assert away(end) < away(start)
    assert {0, 48} <= {start for start, _ in moves}


def away(cell):
    """Steps to the cell before the enemy's general."""
    return abs(cell // 12 - 2) + abs(cell % 12 - 10)


def test_it_takes_the_general_with_what_it_gathered():
    game = walled_in()
    for _ in range(60):
        if game.alive(1):
            game.act()
    assert not game.alive(1)


def test_it_remembers_a_general_that_is_out_of_sight_again():
    game = walled_in()
    game.action()
    for cell in (9, 10, 11, 21, 22, 33, 45, 46, 57, 58, 59):
        game.place(cell, -1, 0)
    for _ in range(80):
        if game.alive(1):
            game.act()
    assert not game.alive(1)


def test_it_goes_and_looks_where_it_has_not_been():
    game = Scene((0, 44), **WIDE)
    game.pass_the_opening()
    game.place(9, 0, 1)
    game.place(10, 0, 30)
    for _ in range(60):
        if game.alive(1):
            game.act()
    assert not game.alive(1)


def test_a_rich_seat_takes_the_city_beside_its_land():
    game = Scene((0, 44), cities=(13,), city_armies=(10,), mountains=(30, 31, 32, 33, 34), **WIDE)
    game.pass_the_opening()
    for cell in (1, 2, 3, 4, 9, 10, 11, 12, 18, 19, 20, 21):
        game.place(cell, 0, 6)
    for _ in range(60):
        if game.owner[13] != 0:
            game.act()
    assert game.owner[13] == 0


def test_the_general_waits_in_the_opening_and_then_runs_outwards():
    game = Scene((12, 35), height=6, width=6)
    moves = []
    while len(moves) < 5:
        move = game.act()
        if move is not None:
            moves.append(move)
    assert moves[0][0] == 12
    for (_, end), (start, _) in itertools.pairwise(moves):
        assert start == end


def test_swamps_are_not_settled():
    game = Scene(GENERALS, swamps=(11, 13, 17))
    game.place(12, 0, 9)
    assert game.action() == encode_action(12, UP, 0)


def test_a_seat_that_cannot_move_passes():
    assert Scene(GENERALS).action() == 8 * 25


MATCHES = {
    "crowded": (settings(4, 4, 2, cities=0, max_ticks=400), 400),
    "duels": (settings(9, 12, 2, cities=4, max_ticks=500), 500),
    "teams": (settings(10, 10, 6, cities=5, teams=(0, 1, 0, 1, 2, 2), max_ticks=500), 400),
    "simple": (settings(8, 9, 3, cities=3, rules=rules.simple(), max_ticks=400), 400),
    "many": (settings(13, 11, 12, cities=8, max_ticks=400), 200),
    "largest": (settings(64, 64, 16, cities=90, max_ticks=300), 2),
}


@pytest.mark.parametrize("name", MATCHES)
def test_it_never_does_what_the_rules_would_not_carry_out(name):
    match, n_games = MATCHES[name]
    batch = Batch(n_games, match, seed=5)
    codes = np.array([HUNTER, HUNTER, EXPANDER, RANDOM] * 4, np.int32)[: batch.n_seats]
    actions = np.zeros(batch.n_seats, np.int32)
    assert count_illegal(batch.games, codes, actions, 500) == 0
    assert (batch.tick > 0).all()


@examples(max_examples=60)
@given(boards(), vectors(), SEEDS)
def test_nor_on_boards_with_swamps_deserts_armies_and_teams(board, variant, seed):
    game = KernelPlayer(board, variant)
    codes = np.array([HUNTER, HUNTER, RANDOM] * 4, np.int32)[: game.n_seats]
    codes = np.random.default_rng(seed).permutation(codes).astype(np.int32)
    rows = game.games._replace(
        **{name: getattr(game.games, name)[game.ROW : game.ROW + 1] for name in PER_GAME}
    )
    assert count_illegal(rows, codes, np.zeros(game.n_seats, np.int32), 200) == 0


PER_GAME = tuple(
    name for name in Batch(1, settings(4, 4, 2)).games._fields if "scratch" not in name
)


def mid_game(seed, ticks):
    """A duel of hunters, some ticks old."""
    batch = Batch(1, settings(9, 11, 2, cities=4), seed=seed)
    count_illegal(batch.games, np.full(2, HUNTER, np.int32), np.zeros(2, np.int32), ticks)
    return batch


def acted(batch, seat, notes, note_maps):
    """The action of a seat with these notes, and the notes afterwards."""
    batch.games.notes[:] = notes
    batch.games.note_maps[:] = note_maps
    action = chosen(batch.games, 0, seat, HUNTER)
    return action, batch.games.notes.tobytes(), batch.games.note_maps.tobytes()


def plain_cells(games, among):
    """Those of some cells on which a general could stand."""
    return np.flatnonzero(among & (games.terrain[0] == tiles.PLAIN))


def move_general(games, seat, to):
    """Put a general that is out of sight elsewhere, by hand."""
    cell = int(games.general[0, seat])
    games.general[0, seat] = to
    games.terrain[0, [cell, to]] = tiles.PLAIN, tiles.GENERAL
    games.structure[0, cell >> 6] &= ~np.uint64(1 << (cell & 63))
    games.structure[0, to >> 6] |= np.uint64(1 << (to & 63))


@examples(max_examples=60)
@given(SEEDS, st.integers(0, 250), st.integers(0, 1))
def test_nothing_out_of_sight_changes_its_action_or_its_notes(seed, ticks, seat):
    batch = mid_game(seed, ticks)
    if batch.over[0]:
        return
    notes = batch.games.notes.copy(), batch.games.note_maps.copy()
    before = acted(batch, seat, *notes)
    assert acted(batch, seat, *notes) == before
    rng = np.random.default_rng(seed)
    frame = batch.frames[0, seat].tobytes()
    hidden = (batch.frames[0, seat]["tile"].ravel() & tiles.OWNER_MASK) == tiles.FOG
    for cell in np.flatnonzero(hidden):
        if batch.games.owner[0, cell] != -2 and cell not in batch.games.general[0]:
            owner = int(rng.choice((-1, 1 - seat)))
            place(batch.games, 0, int(cell), owner, int(rng.integers(0, 60)))
    if hidden[batch.games.general[0, 1 - seat]]:
        move_general(batch.games, 1 - seat, int(rng.choice(plain_cells(batch.games, hidden))))
    batch.games.scratch_maps[:] = rng.integers(0, 2**63, batch.games.scratch_maps.shape)
    batch.games.scratch_lists[:] = 0
    batch.games.notes[0, 1 - seat] = 0
    batch.games.note_maps[0, 1 - seat] = 0
    assert batch.frames[0, seat].tobytes() == frame
    after = acted(batch, seat, *notes)
    assert after == before


def test_its_notes_begin_anew_with_the_game():
    batch = mid_game(3, 120)
    assert batch.games.notes.any()
    batch.reset()
    assert not batch.games.notes.any()
    assert not batch.games.note_maps.any()


def test_down_and_right_are_as_good_as_up_and_left():
    # The same position turned by half a turn: the same move, turned.
    game = Scene((24, 0))
    game.place(24, 0, 3)
    game.place(23, 1, 9)
    game.place(19, 0, 8)
    assert game.action() == encode_action(19, DOWN, 0)
