"""Kernels and oracle play the same random games; everything they hold is the same at every tick."""

import random
from collections import Counter

import numpy as np
import pytest
from engine.events import CountingOracle, reachable
from engine.oracle import Variant
from engine.players import KernelPlayer
from engine.random_games import SEEDS, VARIANTS, Crowd, boards, random_board, vectors
from hypothesis import given, settings

from farm.engine.bits import n_words
from farm.engine.state import OUTCOME, PLAYING, TICK, WINNER
from farm.spec import frame_bytes, frame_dtype


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


def play_and_compare(board, vector, rng, *, every_byte=True):
    """Play a random game on both; what happened in it, counted."""
    oracle, kernels = CountingOracle(board, Variant.of(vector)), KernelPlayer(board, vector)
    crowd = Crowd(rng, oracle)
    assert_same_board(oracle, kernels)
    frames = frames_of(kernels)
    assert_same_frames(oracle, frames)
    while oracle.tick < crowd.n_ticks and not oracle.over:
        for order in crowd.orders():
            oracle.enqueue(*order)
            kernels.enqueue(*order)
        for player in crowd.departures():
            oracle.leave(player)
            kernels.leave(player)
        oracle.step()
        kernels.step()
        assert_same_board(oracle, kernels)
        assert_same_players(oracle, kernels)
        if every_byte:
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
    return oracle.events


def play_by_variant(n_games, *, every_byte=True):
    """Random games of each variant from fixed seeds; what happened in them, by variant."""
    happened = {}
    for name, vector in VARIANTS.items():
        happened[name] = Counter()
        for number in range(n_games):
            rng = random.Random(f"{name} {number}")
            board = random_board(rng)
            happened[name] += play_and_compare(board, vector, rng, every_byte=every_byte)
    return happened


def not_reached(happened):
    """What should have happened and did not, by variant."""
    missing = {name: reachable(name) - set(events) for name, events in happened.items()}
    return {name: events for name, events in missing.items() if events}


@settings(max_examples=25)
@given(boards(), vectors(), SEEDS)
def test_a_random_game_is_the_same_on_both(board, vector, seed):
    play_and_compare(board, vector, random.Random(seed))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=3000)
@given(boards(), vectors(), SEEDS)
def test_thousands_of_random_games_are_the_same_on_both(board, vector, seed):
    play_and_compare(board, vector, random.Random(seed))


def test_random_games_reach_every_rule():
    happened = play_by_variant(12, every_byte=False)
    together = sum(happened.values(), Counter())
    assert set().union(*map(reachable, happened)) - set(together) == set()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_games_of_each_variant_reach_every_rule_of_it():
    assert not_reached(play_by_variant(300)) == {}
