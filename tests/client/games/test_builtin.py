"""The agents that come with the client: legal, and as good as the farm's policies of that name."""

import numpy as np
import pytest
from game_messages import GAME, observation, update
from policies.scene import chosen

from farm.client import Agent, ExpanderAgent, GameObservation, Phase, RandomAgent
from farm.client.games.view import GameView, frame_of
from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.engine.state import OUTCOME, PLAYING, view
from farm.engine.step import step_game
from farm.jit import kernel
from farm.policies.registry import EXPANDER
from farm.spec import frame_bytes, pass_action

HEIGHT, WIDTH = 9, 11


@kernel
def step(games, g, actions):
    """A tick of one game."""
    step_game(view(games, g), actions)


def seen(games, g, seat, n_seats, n_allies=0):
    """What a seat of an engine's game sees, as a client does."""
    raw = games.frames[g, seat, : frame_bytes(HEIGHT * WIDTH, n_seats)].tobytes()
    return GameObservation(
        game_id=GAME,
        tick=0,
        phase=Phase.RUNNING,
        seat=seat,
        n_seats=n_seats,
        n_allies=n_allies,
        height=HEIGHT,
        width=WIDTH,
        frame=frame_of(raw, HEIGHT, WIDTH, n_seats),
    )


def play(batch, choose, n_ticks, teams=None):
    """Play a game by `choose(games, g, seat, observation)`."""
    games, n_seats = batch.games, batch.n_seats
    passing = pass_action(HEIGHT * WIDTH)
    for g in range(len(games.status)):
        for _ in range(n_ticks):
            if games.status[g, OUTCOME] != PLAYING:
                break
            actions = np.full(n_seats, passing, np.int32)
            for seat in range(n_seats):
                if games.alive[g, seat]:
                    n_allies = teams.count(teams[seat]) - 1 if teams else 0
                    action = choose(games, g, seat, seen(games, g, seat, n_seats, n_allies))
                    actions[seat] = passing if action is None else action
            step(games, g, actions)


@pytest.mark.parametrize("teams", [None, (0, 0, 1, 1)])
def test_the_expander_does_what_the_farms_expander_does(teams):
    n_seats = 4 if teams else 2
    batch = Batch(3, settings(HEIGHT, WIDTH, n_seats, cities=4, teams=teams), seed=5)
    agent = ExpanderAgent(seed=1)
    n_same = 0

    def choose(games, g, seat, observation):
        nonlocal n_same
        expected, log_prob = chosen(games, g, seat, EXPANDER)
        if log_prob == 0.0:  # else it drew, having nothing to take and nowhere to go
            assert (agent.act(observation) or observation.passing) == expected
            n_same += 1
        return expected

    play(batch, choose, 150, teams)
    assert n_same > 300


@pytest.mark.parametrize("make", [RandomAgent, ExpanderAgent])
def test_what_they_do_is_legal(make):
    agent = make(seed=3)

    def choose(_games, _g, _seat, observation):
        action = agent.act(observation)
        assert observation.legal_mask[observation.passing if action is None else action]
        return action

    play(Batch(2, settings(HEIGHT, WIDTH, 2, cities=4), seed=8), choose, 100)


def test_the_expander_beats_random():
    batch = Batch(20, settings(HEIGHT, WIDTH, 2, cities=2), seed=9)
    agents = (ExpanderAgent(seed=1), RandomAgent(seed=2))
    play(batch, lambda _games, _g, seat, seen_by: agents[seat].act(seen_by), 600)
    assert (batch.winner == 0).mean() >= 0.9


def test_equal_seeds_choose_equally_and_others_do_not():
    lone = GameView(GAME).receive(update(0, view=observation()))
    draws = [[RandomAgent(seed=seed).act(lone) for seed in range(20)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 3


def test_a_seat_that_cannot_move_passes():
    stuck = GameView(GAME).receive(update(0, view=observation()))
    weak = np.zeros(1, stuck.frame.dtype)
    weak["tile"] = stuck.frame["tile"]
    stuck = GameView(GAME).receive(update(0, view=observation(weak[0])))
    for agent in (RandomAgent(), ExpanderAgent()):
        assert isinstance(agent, Agent)
        assert agent.act(stuck) is None
