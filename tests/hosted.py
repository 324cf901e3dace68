"""A real farm with a games host, agents of it in processes of their own, and its journals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, wait_until
from steady import PATIENT

from farm.client import GameClient, Phase
from farm.replay.journal import Orders, decode

TESTS = ROOT / "tests"
WITH_TESTS = {"PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}"}
SMALL = (
    "games=on",
    "games.address=127.0.0.1:0",
    "games.max_side=24",
    "games.max_seats=4",
    f"games.ring_bytes={1 << 22}",
    "worker.count=0",
)
OVER_S = 90.0
"""For games that take seconds."""


class HostedFarm:
    """A farm with games.

    Attributes:
        up: its process.
        client: of its games.
        journals: folder of them.

    Args:
        farm_up: starts it.
        start: starts other processes.
        instance: its name.
        folder: for its journals, and for the files of gates.
        overrides: of its config.
        options: of its process.
    """

    def __init__(self, farm_up, start, instance, folder, overrides=(), **options):
        self._farm_up, self._start = farm_up, start
        self.instance, self.folder = instance, Path(folder)
        self.journals = self.folder / "journals" / instance
        self._how = ([*SMALL, f"games.journal_dir={self.journals.parent}", *overrides], options)
        self._n_gates = 0
        overrides, options = self._how
        self.up = farm_up(*overrides, **options)
        self.client = GameClient(self.address, retry=PATIENT)

    def start_again(self):
        """Start it where it was, so that agents find it again."""
        overrides, options = self._how
        address = self.address
        self.up = self._farm_up(*overrides, f"serve.address={address}", **options)
        self.up.address = address

    def close(self):
        self.client.close()

    @property
    def address(self):
        return self.up.address

    @property
    def host_address(self):
        return self.up.events("games_serving")[-1]["address"]

    def kill_host(self, number=signal.SIGKILL):
        """Send a signal that ends it sooner or later; waits until another is ready."""
        n_ready = len(self.up.events("child_ready", child="games-0"))
        spawned = self.up.events("child_spawned", child="games-0")[-1]
        os.kill(spawned["child_pid"], number)
        return self.up.wait_for("child_ready", child="games-0", nth=n_ready + 1)

    def set(self, *overrides):
        """`farm set`."""
        self.run("set", *overrides, "--instance", self.instance)

    def run(self, *words):
        """A command of the farm; its output."""
        command = [sys.executable, "-m", "farm.cli.main", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def agents(self, seats, *, gates=None, address=None):
        """A process that plays these seats."""
        spec = {"seats": seats, **({"gates": gates.spec} if gates else {})}
        return self.process("play", spec, address=address)

    def process(self, mode, spec, *, address=None):
        """One of steady.py."""
        command = [TESTS / "steady.py", mode, address or self.address, json.dumps(spec)]
        return self._start(command, env=WITH_TESTS)

    def game(self, *kinds, by="stream", **options):
        """A new game with all its seats taken: itself, and the seats for `agents`."""
        bots = options.get("bots", {})
        n_seats = len(kinds) + len(bots)
        made = self.client.create(**{"spectators": True, "seats": n_seats, **options})
        free = [seat for seat in range(n_seats) if seat not in bots]
        seats = [self.seat(made, seat, kind, by) for seat, kind in zip(free, kinds, strict=True)]
        return made, seats

    def seat(self, made, seat, kind, by="stream"):
        """Take a seat, for `agents`."""
        token = self.client.join(made.game_id, name=kind, seat=seat).token
        return {"game_id": made.game_id, "seat": seat, "token": token, "agent": kind, "by": by}

    def gates(self, *ticks, seats=(1,)):
        """Gates for agents."""
        self._n_gates += 1
        folder = self.folder / f"gates-{self._n_gates}"
        folder.mkdir()
        return OpenGates(folder, ticks, seats)

    def wait_for_tick(self, made, tick):
        """Until a game is so far."""

        def is_there():
            state = self.client.state(
                made.game_id, made.spectator_token, after_tick=tick - 1, wait_s=1.0
            )
            assert not state.phase.is_over, f"it ended at tick {state.tick}"
            return state.tick >= tick

        wait_until(is_there, timeout_s=OVER_S, what=f"tick {tick}")

    def board(self, made):
        """What a spectator sees, as it can be compared."""
        state = self.client.state(made.game_id, made.spectator_token)
        return state.tick, state.phase, state.owner.tobytes(), state.army.tobytes()

    def ended(self, game_id):
        """The journal of a game that is over."""
        path = self.journals / "host-0" / "ended" / f"{game_id}.journal"
        wait_until(path.exists, what=f"the end of game {game_id}")
        return Ending(path)

    def check_replays(self, *endings):
        """`farm replay --check` plays them again; each comes to the state that was written."""
        said = self.run("replay", "--check", *(ending.path for ending in endings))
        n_games = f"{len(endings)} game{'s' if len(endings) > 1 else ''},"
        assert said.startswith(n_games), said
        assert ", 0 mismatches" in said, said
        assert "without any" not in said, said


class OpenGates:
    """The test's side of `steady.Gates`."""

    def __init__(self, folder, ticks, seats):
        self._folder, self._seats = folder, seats
        self.spec = {"folder": str(folder), "ticks": ticks, "seats": seats}

    def wait_for(self, tick, *games):
        """Until every seat that waits at this tick does."""
        names = [f"{tick}-{game.game_id}-{seat}.waits" for game in games for seat in self._seats]
        wait_until(
            lambda: all((self._folder / name).exists() for name in names),
            what=f"the gate of tick {tick}",
        )

    def open(self, tick):
        """Let them go on."""
        (self._folder / f"{tick}.open").touch()


class Ending:
    """What the journal of a game that is over says."""

    def __init__(self, path):
        self.path = path
        self._found = decode(path.read_bytes())
        self.end = self._found.end

    @property
    def final(self):
        """What two equal games have in common: ticks, phase, winners and the last state."""
        return self.end.tick, Phase(self.end.phase), self.end.winners, self.end.digest

    def moves(self):
        """What each seat asked for, at which tick, in order."""
        made = [(one.tick, one.seat, one.clear, one.moves) for one in self.orders()]
        return sorted(made, key=lambda move: move[:2])

    def orders(self, seat=None):
        """Acknowledged actions."""
        entries = [entry for entry in self._found.entries if isinstance(entry, Orders)]
        return [entry for entry in entries if seat is None or entry.seat == seat]


def results(process, n_seats):
    """The lines of agents that played to the end, by game and seat."""
    process.wait_for("agent_over", nth=n_seats, timeout_s=OVER_S)
    assert process.wait() == 0, process.output
    lines = process.events("agent_over")
    assert len(lines) == n_seats, process.output
    return {(line["game_id"], line["seat"]): line for line in lines}
