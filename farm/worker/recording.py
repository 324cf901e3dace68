"""Recorded rollout games as replays: from the tape, and to a file of their own each."""

import os

import numpy as np

from farm.config.schema import FarmConfig
from farm.engine.settings import TICKS
from farm.errors import FileAccessError
from farm.policies.registry import POLICY_NAMES
from farm.replay.boards import map_of
from farm.replay.digest import digest_bytes
from farm.replay.files import write_replays
from farm.replay.folders import Kept, make_private, state_folder
from farm.replay.model import Order, Replay, Rules
from farm.spec.actions import ACTIONS_PER_CELL
from farm.telemetry.log import Logger
from farm.worker.plan import Plan
from farm.worker.tape import FREE, FULL, Tape


def take_recorded(tape: Tape, plan: Plan) -> list[Replay]:
    """Replays of the games that have ended; their slots are free again.

    Args:
        tape: of a cohort.
        plan: what the games were set up by.

    Writes:
        tape.
    """
    slots = np.flatnonzero(tape.state == FULL).tolist()
    replays = [_replay(tape, slot, plan) for slot in slots]
    tape.state[slots] = FREE
    return replays


class Keeper:
    """Writes replays of one worker, `rollouts/INDEX/NUMBER-SEED.replay` in the farm's state folder.

    Number and seed (in hexadecimal digits) tell a game from those of every other run. Nothing is
    made before the first replay comes; one that cannot be written is lost, with a warning.

    Args:
        instance: name of the farm.
        index: of the worker.
        seed: of the farm.
        log: gets the warnings.
    """

    def __init__(self, instance: str, index: int, seed: int, log: Logger) -> None:
        self._instance = instance
        self._index = index
        self._seed = seed
        self._log = log
        self._kept: Kept | None = None
        self._fails = False
        self._misses = False

    def miss(self, n_games: int) -> None:
        """Say, the first time, that games were to be recorded and the tape had no room for them."""
        if not self._misses:
            self._log.warning(
                "games_not_recorded",
                games=n_games,
                error="more at once than the tape has room for; raise worker.record_every",
            )
        self._misses = True

    def keep(self, replays: list[Replay], config: FarmConfig) -> int:
        """Write replays, and remove the oldest as `worker.record_keep` and `record_bytes` say.

        Returns:
            Those written.
        """
        n_written = 0
        for replay in replays:
            try:
                self._write(replay, config)
            except FileAccessError as error:
                if not self._fails:
                    self._log.warning("replay_not_kept", game=replay.game_id, error=str(error))
                self._fails = True
            else:
                self._fails = False
                n_written += 1
        return n_written

    def _write(self, replay: Replay, config: FarmConfig) -> None:
        worker = config.worker
        if self._kept is None:
            root = state_folder(config.games.journal_dir, self._instance, os.environ)
            folder = make_private(make_private(root) / "rollouts") / str(self._index)
            self._kept = Kept(folder, keep=worker.record_keep, max_bytes=worker.record_bytes)
        else:
            self._kept.limit(keep=worker.record_keep, max_bytes=worker.record_bytes)
        path = self._kept.folder / f"{replay.game_id}-{self._seed:x}.replay"
        self._kept.add(path.name, write_replays(path, [replay]))


def _replay(tape: Tape, slot: int, plan: Plan) -> Replay:
    number, n_ticks = int(tape.number[slot]), int(tape.n_ticks[slot])
    n_cells = int(tape.height[slot] * tape.width[slot])
    owner, army = tape.owner[slot, :n_cells], tape.army[slot, :n_cells]
    return Replay(
        game_id=str(number),
        rules=Rules.of(plan.settings.rules),
        map=map_of(plan.settings, int(plan.seed), number),
        n_ticks=n_ticks,
        max_ticks=int(plan.settings.numbers[TICKS]),
        orders=_orders(tape, slot, n_ticks, n_cells),
        final_hash=digest_bytes(owner, army, tape.general[slot]),
        players=tuple(POLICY_NAMES[code] for code in tape.codes[slot]),
    )


def _orders(tape: Tape, slot: int, n_ticks: int, n_cells: int) -> tuple[Order, ...]:
    """The actions that are no pass, by tick and seat."""
    actions = tape.actions[slot, :n_ticks].astype(np.int64)
    tick, seat = np.nonzero(actions < ACTIONS_PER_CELL * n_cells)
    action = actions[tick, seat]
    start, direction, half = action // ACTIONS_PER_CELL, action // 2 % 4, action % 2
    width = int(tape.width[slot])
    # Up, down, left, right (spec.actions).
    end = start + np.array([-width, width, -1, 1])[direction]
    columns = (tick, seat, start, end, half)
    return tuple(map(Order, *(column.tolist() for column in columns)))
