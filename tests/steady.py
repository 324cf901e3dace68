"""Agents in processes of their own, and what they say of their games.

    farm play --agent steady:Steady                one of them, as a user has it
    python tests/steady.py play ADDRESS SPEC       seats of games, a thread and a client each
    python tests/steady.py many ADDRESS SPEC       rows of one PlayMany
    python tests/steady.py race ADDRESS SPEC       many that want the last seat of the same games

SPEC is JSON. For each game that an agent has played it prints a line, `agent_over`: the result, and
a digest of what it saw and chose in each tick. A `Steady` chooses by what it sees alone, so that it
answers the same when a game is told again, and two games of the same seed and agents are the same.

At the ticks of `gates` an agent waits in `act` until somebody has made the file of that tick; that
it waits it says by a file, too. So a test knows where a game stands when it does something to it.
"""

import hashlib
import json
import sys
import threading
import time
from pathlib import Path

from farm.client import (
    ExpanderAgent,
    GameClient,
    JoinedGame,
    Move,
    RandomAgent,
    Retry,
    play_game,
    run_many,
)
from farm.errors import GameRejectedError
from farm.spec import tiles
from farm.spec.actions import DOWN, LEFT, RIGHT, UP, decode_action

PATIENT = Retry(first_s=0.02, ceiling_s=0.2, deadline_s=90.0)
GATE_S = 90.0
_LOCK = threading.Lock()


def say(event, **fields):
    """A line for the test."""
    with _LOCK:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


class Gates:
    """Ticks at which seats wait.

    Args:
        folder: of the files.
        ticks: of the gates.
        seats: that wait; the others play on.
    """

    def __init__(self, folder, ticks, seats):
        self._folder = Path(folder)
        self._ticks, self._seats = list(ticks), seats

    def fork(self):
        """The same for another agent."""
        return Gates(self._folder, self._ticks, self._seats)

    def pass_by(self, observation):
        """Wait, if a gate is reached; each is passed once."""
        if observation.seat not in self._seats:
            return
        while self._ticks and observation.tick >= self._ticks[0]:
            tick = self._ticks.pop(0)
            (self._folder / f"{tick}-{observation.game_id}-{observation.seat}.waits").touch()
            _await_file(self._folder / f"{tick}.open")


class Steady(ExpanderAgent):
    """An expander whose choice depends on what it sees alone.

    Args:
        gates: where it waits.
    """

    name = "steady"

    def __init__(self, gates=None):
        super().__init__(seed=0)
        self._gates = gates
        self._chosen = {}

    def act(self, observation):
        if self._gates is not None:
            self._gates.pass_by(observation)
        self._random = RandomAgent(observation.tick * 16 + observation.seat)
        action = self.choose(observation)
        what = observation.frame.tobytes(), repr(action)
        if self._chosen.setdefault(observation.tick, what) != what:
            raise AssertionError(f"tick {observation.tick} was told twice, and otherwise")
        return action

    def choose(self, observation):
        """What an expander does."""
        return super().act(observation)

    def on_end(self, result):
        digest = hashlib.sha256(repr(sorted(self._chosen.items())).encode()).hexdigest()
        say(
            "agent_over",
            game_id=result.game_id,
            seat=result.seat,
            phase=result.phase.name,
            ticks=result.ticks,
            winners=result.winners,
            actions=result.actions,
            refused=dict(result.refused),
            chosen=digest,
        )
        self._chosen = {}


class Marching(Steady):
    """Queues the step behind its move too, where no mountain is in sight there."""

    name = "marching"

    def choose(self, observation):
        index = super().choose(observation)
        if index is None:
            return None
        cell, direction, half = decode_action(index)
        step = {UP: -observation.width, DOWN: observation.width, LEFT: -1, RIGHT: 1}[direction]
        first = Move(cell, cell + step, half=bool(half))
        end = first.end + step
        if end not in observation.neighbours(first.end):
            return first
        if int(observation.terrain.flat[end]) == tiles.MOUNTAIN:
            return first
        return [first, Move(first.end, end)]


class Passive(Steady):
    """Passes."""

    name = "passive"

    def choose(self, _observation):
        return None


class LeavingError(Exception):
    """Somebody has had enough."""


class Leaving(Steady):
    """Raises at a tick, so that its seat surrenders."""

    name = "leaving"
    at_tick = 12

    def choose(self, observation):
        if observation.tick >= self.at_tick:
            raise LeavingError
        return super().choose(observation)


AGENTS = {kind.name: kind for kind in (Steady, Marching, Passive, Leaving)}


def play(address, spec):
    """Play seats until their games are over."""
    gates = Gates(**spec["gates"]) if "gates" in spec else None
    _all_at_once(_play_seat, [(address, seat, gates) for seat in spec["seats"]])


def _play_seat(address, seat, gates):
    agent = AGENTS[seat["agent"]](gates and gates.fork())
    joined = JoinedGame(seat["game_id"], seat["seat"], seat["token"])
    try:
        with GameClient(address, retry=PATIENT) as client:
            play_game(client, agent, joined, by=seat["by"])
    except LeavingError:
        say("agent_left", game_id=joined.game_id, seat=joined.seat)
    except Exception as error:
        say("agent_failed", game_id=joined.game_id, seat=joined.seat, error=repr(error))
        raise


def play_many(address, spec):
    """Play the first seat of new games, over one stream."""
    options = spec["options"]
    options["bots"] = {int(seat): policy for seat, policy in options["bots"].items()}
    run_many(lambda _row: Steady(), address, n_games=spec["n_games"], retry=PATIENT, **options)


def race(address, spec):
    """Try to get a seat of each game, all at once."""
    start = threading.Barrier(spec["n_threads"])
    _all_at_once(_run_race, [(address, spec, start)] * spec["n_threads"])


def _run_race(address, spec, start):
    with GameClient(address, retry=PATIENT) as client:
        next(client.games(), None)  # connected
        if start.wait(GATE_S) == 0:
            say("racers_ready")
        _await_file(Path(spec["go"]))
        for game_id in spec["games"]:
            start.wait(GATE_S)
            try:
                joined = client.join(game_id, seat=spec["seat"])
            except GameRejectedError as error:
                say("race_lost", game_id=game_id, reason=error.reason)
            else:
                say("race_won", game_id=game_id, seat=joined.seat, token=joined.token)


def _all_at_once(target, calls):
    threads = [threading.Thread(target=target, args=arguments) for arguments in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _await_file(path):
    deadline_s = time.monotonic() + GATE_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"nobody made {path}")
        time.sleep(0.002)


if __name__ == "__main__":
    modes = {"play": play, "many": play_many, "race": race}
    modes[sys.argv[1]](sys.argv[2], json.loads(sys.argv[3]))
