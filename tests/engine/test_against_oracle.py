"""Kernels and oracle play the same random games; everything they hold is the same at every tick."""

import random

import numpy as np
import pytest
from engine.players import KernelPlayer, oracle_player
from engine.random_games import SEEDS, VARIANTS, boards, random_departures, random_orders
from hypothesis import given, settings

from farm.engine.bits import n_words
from farm.engine.state import OUTCOME, PLAYING, TICK, WINNER
from farm.spec import frame_bytes, frame_dtype

MAX_TICKS = 80


def frames_of(kernels):
    """The packed observations of each seat, read as the wire layout says."""
    dtype = frame_dtype(kernels.settings.numbers[0], kernels.settings.numbers[1], kernels.n_seats)
    rows = kernels.games.frames[kernels.ROW, : kernels.n_seats]
    return rows[:, : frame_bytes(kernels.n_cells, kernels.n_seats)].copy().view(dtype)[:, 0]


def cells_of(bitmap, n_cells):
    """A bitmap of words as a list of cells."""
    bits = np.unpackbits(bitmap.view(np.uint8), bitorder="little")
    assert not bits[n_cells:].any()
    return np.flatnonzero(bits[:n_cells]).tolist()


def assert_same_board(oracle, kernels):
    assert kernels.owner == oracle.owner
    assert kernels.army == oracle.army
    assert kernels.generals == oracle.generals


def assert_same_players(oracle, kernels):
    games, row = kernels.games, kernels.ROW
    scores = [oracle.score(player) for player in oracle.players]
    assert games.total_army[row, : oracle.n].tolist() == [army for army, _ in scores]
    assert games.land[row, : oracle.n].tolist() == [land for _, land in scores]
    assert games.alive[row, : oracle.n].tolist() == oracle.alive
    for player, killer in enumerate(oracle.killer):
        if killer is not None:
            assert games.killer[row, player] == killer


def assert_same_frames(oracle, frames):
    for player in oracle.players:
        armies, codes = oracle.observe(player)
        assert frames[player]["army"].ravel().tolist() == armies
        assert frames[player]["tile"].ravel().tolist() == codes
        board = [oracle.score(p) for p in oracle.view_order(player)]
        assert frames[player]["total_army"].tolist() == [army for army, _ in board]
        assert frames[player]["total_land"].tolist() == [land for _, land in board]
        alive = [oracle.alive[p] for p in oracle.view_order(player)]
        assert frames[player]["alive"].tolist() == alive


def assert_same_bitmaps(oracle, kernels):
    games, row = kernels.games, kernels.ROW
    words = n_words(oracle.n_cells)
    for player in oracle.players:
        own = [cell for cell in range(oracle.n_cells) if oracle.owner[cell] == player]
        strong = [cell for cell in own if oracle.army[cell] > 1]
        single = [cell for cell in own if oracle.army[cell] == 1]
        assert cells_of(games.mine[row, player, :words], oracle.n_cells) == own
        assert cells_of(games.movable[row, player, :words], oracle.n_cells) == strong
        assert cells_of(games.single[row, player, :words], oracle.n_cells) == single
        seen = games.seen[row, games.side[row, player], :words]
        assert cells_of(seen, oracle.n_cells) == sorted(oracle.visible(player))


def assert_changes_are_marked(kernels, before, after):
    """A cell whose bytes changed is marked; the marks are then cleared, as a reader does."""
    games, row = kernels.games, kernels.ROW
    words = n_words(kernels.n_cells)
    for name, marks in (("army", games.dirty_army), ("tile", games.dirty_tile)):
        for seat in range(kernels.n_seats):
            changed = np.flatnonzero((before[seat][name] != after[seat][name]).ravel())
            marked = cells_of(marks[row, seat, :words], kernels.n_cells)
            assert set(changed.tolist()) <= set(marked)
        marks[row] = 0


def play_and_compare(board, vector, rng):
    oracle, kernels = oracle_player(board, vector), KernelPlayer(board, vector)
    assert_same_board(oracle, kernels)
    frames = frames_of(kernels)
    assert_same_frames(oracle, frames)
    while oracle.tick < MAX_TICKS and not oracle.over:
        for order in random_orders(rng, oracle):
            oracle.enqueue(*order)
            kernels.enqueue(*order)
        for player in random_departures(rng, oracle):
            oracle.leave(player)
            kernels.leave(player)
        oracle.step()
        kernels.step()
        assert_same_board(oracle, kernels)
        assert_same_players(oracle, kernels)
        assert_same_bitmaps(oracle, kernels)
        before, frames = frames, frames_of(kernels)
        assert_same_frames(oracle, frames)
        assert_changes_are_marked(kernels, before, frames)
        status = kernels.games.status[kernels.ROW]
        assert status[TICK] == oracle.tick
        assert (status[OUTCOME] != PLAYING) == oracle.over
    if oracle.over:
        living = {oracle.teams[p] for p in oracle.players if oracle.alive[p]}
        winners = {
            oracle.teams[p]
            for p in oracle.players
            if kernels.games.side[kernels.ROW, p] == status[WINNER]
        }
        assert winners == living


@settings(max_examples=25)
@given(boards(), VARIANTS, SEEDS)
def test_a_random_game_is_the_same_on_both(board, vector, seed):
    play_and_compare(board, vector, random.Random(seed))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=3000)
@given(boards(), VARIANTS, SEEDS)
def test_thousands_of_random_games_are_the_same_on_both(board, vector, seed):
    play_and_compare(board, vector, random.Random(seed))
