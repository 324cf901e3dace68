"""What a seat remembers: what it saw last of each cell that it ever saw, and nothing else."""

import random

import numpy as np
import pytest
from engine.kernels import Position, place, remember_now
from engine.players import KernelPlayer, oracle_player
from engine.random_games import SEEDS, Crowd, boards, vectors
from engine.test_against_oracle import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.engine.batch import Batch
from farm.engine.settings import settings as match_settings
from farm.spec import tiles

NEVER = (0, tiles.NEVER_SEEN)
MAX_TICKS = 60


def remembered(game, seat, cell):
    """Army and tile code that a seat remembers."""
    games, row = game.games, game.ROW
    return int(games.memory_army[row, seat, cell]), int(games.memory_tile[row, seat, cell])


def memory_of(game, seat):
    games, row, cells = game.games, game.ROW, slice(game.n_cells)
    return (
        games.memory_army[row, seat, cells].tolist(),
        games.memory_tile[row, seat, cells].tolist(),
    )


def code(terrain, owner):
    return terrain << tiles.OWNER_BITS | owner


class PlainMemory:
    """The memory of every player in plain Python, from what the oracle shows them."""

    def __init__(self, oracle):
        self.oracle = oracle
        self.cells = [{} for _ in oracle.players]
        self.look()

    def look(self):
        for player in self.oracle.players:
            armies, codes = self.oracle.observe(player)
            for cell in self.oracle.visible(player):
                self.cells[player][cell] = armies[cell], codes[cell]

    def of(self, player):
        cells = [self.cells[player].get(c, NEVER) for c in range(self.oracle.n_cells)]
        return [army for army, _ in cells], [tile for _, tile in cells]


def play_and_remember(board, vector, seed, check):
    """Play a random game on oracle and kernels, and `check` after the reset and each tick."""
    rng = random.Random(seed)
    oracle, kernels = oracle_player(board, vector), KernelPlayer(board, vector, memory=True)
    crowd = Crowd(rng, oracle)
    check(oracle, kernels)
    while oracle.tick < MAX_TICKS and not oracle.over:
        for order in crowd.orders():
            oracle.enqueue(*order)
            kernels.enqueue(*order)
        for player in crowd.departures():
            oracle.leave(player)
            kernels.leave(player)
        oracle.step()
        kernels.step()
        check(oracle, kernels)
    return oracle, kernels


def compare_memories(board, vector, seed):
    """Play a random game and compare the kernels' memories with plain Python's at every tick."""
    plain = []

    def compare(oracle, kernels):
        if not plain:
            plain.append(PlainMemory(oracle))
        plain[0].look()
        for player in oracle.players:
            assert memory_of(kernels, player) == plain[0].of(player)

    play_and_remember(board, vector, seed, compare)


@settings(max_examples=25)
@given(boards(), vectors(), SEEDS)
def test_the_memory_is_what_plain_python_remembers_of_what_was_shown(board, vector, seed):
    compare_memories(board, vector, seed)


@settings(max_examples=25)
@given(boards(), vectors(), SEEDS, st.data())
def test_changing_what_a_seat_never_saw_never_changes_its_memory(board, vector, seed, data):
    oracle, kernels = play_and_remember(board, vector, seed, lambda *_: None)
    player = data.draw(st.sampled_from(oracle.players))
    enemies = [p for p in oracle.players if not oracle.friends(player, p)]
    before = memory_of(kernels, player)
    rng = random.Random(seed)
    never_seen = [cell for cell, tile in enumerate(before[1]) if tile == tiles.NEVER_SEEN]
    for cell in never_seen:
        if oracle.owner[cell] != -2 and cell not in oracle.generals:
            place(kernels.games, kernels.ROW, cell, rng.choice([-1, *enemies]), rng.randrange(99))
    remember_now(kernels.games, kernels.ROW)
    assert memory_of(kernels, player) == before


def test_a_cell_lost_from_sight_is_remembered_as_it_was_in_the_last_frame_that_showed_it():
    game = Position((0, 24), memory=True, cities=(12,), city_armies=(40,), mountains=(7,))
    assert remembered(game, 0, 12) == NEVER
    game.place(11, 0, 3)
    game.step()
    shown = {12: (40, code(tiles.CITY, tiles.NEUTRAL)), 7: (0, code(tiles.MOUNTAIN, 0))}
    assert {cell: remembered(game, 0, cell) for cell in shown} == shown
    game.place(11, -1, 0)
    game.place(12, 1, 9)
    game.step()
    assert frames_of(game)[0]["tile"].ravel()[12] == code(tiles.OBSTACLE, tiles.FOG)
    assert {cell: remembered(game, 0, cell) for cell in shown} == shown
    assert remembered(game, 0, 11) == (3, code(tiles.PLAIN, tiles.SELF))


def test_what_came_into_sight_and_was_lost_within_a_tick_is_not_remembered():
    game = Position((0, 24), memory=True)
    game.place(12, 0, 2)
    game.place(12, -1, 0)
    game.step()
    assert remembered(game, 0, 13) == NEVER


def test_teammates_remember_alike_and_each_by_its_own_codes():
    game = Position((0, 24, 4), memory=True, teams=(1, 2, 1))
    game.place(12, 2, 5)
    game.step()
    game.place(12, -1, 0)
    game.step()
    assert remembered(game, 0, 12) == (5, code(tiles.PLAIN, tiles.SELF + 1))
    assert remembered(game, 2, 12) == (5, code(tiles.PLAIN, tiles.SELF))
    assert remembered(game, 1, 12) == NEVER


def test_a_new_game_remembers_nothing_of_the_one_before():
    batch = Batch(1, match_settings(9, 9, 2), seed=4, memory=True)
    first = batch.games.memory_tile.copy()
    actions = np.full((1, 2), 8 * 81, np.int32)
    for _ in range(60):
        batch.step(actions)
    batch.games.memory_tile[:] = 0
    batch.reset()
    assert np.array_equal(batch.games.memory_tile, first)
    assert (first != tiles.NEVER_SEEN).sum(axis=2).max() <= 9


def test_without_a_memory_none_is_kept_and_the_game_is_the_same():
    with_memory = Batch(2, match_settings(9, 9, 2), seed=4, memory=True)
    without = Batch(2, match_settings(9, 9, 2), seed=4)
    assert without.games.memory_tile.shape == without.games.memory_army.shape == (2, 2, 0)
    rng = np.random.default_rng(1)
    for _ in range(80):
        masks = without.legal_mask()
        actions = np.array([[rng.choice(np.flatnonzero(m)) for m in row] for row in masks])
        for batch in (with_memory, without):
            batch.step(actions.astype(np.int32))
        assert np.array_equal(with_memory.games.frames, without.games.frames)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=1500)
@given(boards(), vectors(), SEEDS)
def test_a_thousand_memories_are_what_plain_python_remembers(board, vector, seed):
    compare_memories(board, vector, seed)
