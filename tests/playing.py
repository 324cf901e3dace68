"""A host without a service, for tests: its clocks stand still until the test moves them."""

import itertools

import numpy as np

from farm.config.schema import GamesConfig, RewardConfig
from farm.engine.state import Games
from farm.games.bus import EventBus
from farm.games.host import Host, Sources
from farm.games.journal import Journal
from farm.games.journal_files import JournalFiles
from farm.games.orders import Action
from farm.games.recovery import Recovery
from farm.games.slots import Slots
from farm.games.spec import GameSpec
from farm.games.takeover import Takeover
from farm.spec import frame_dtype
from farm.spec.actions import decode_action, legal_mask
from farm.telemetry.log import get_logger

S = 1_000_000_000
WALL_NS = 1_700_000_000 * S


def games_config(**changes):
    return GamesConfig(**({"max_games": 16, "max_side": 12, "max_seats": 4} | changes))


def duel_spec(**changes):
    fields = {"n_seats": 2, "kind": "uniform", "height": 8, "width": 8, "cities": 4, "seed": 1}
    return GameSpec(**(fields | changes))


class Playing:
    """A host, and what happened in its games.

    Attributes:
        now_s: what its clocks say.
        events: everything that the bus told, as (game id, event).
        faults: of games that failed.
    """

    def __init__(self, config=None, folder=None, reward=None):
        self.config = config or games_config()
        self.now_s = 1000.0
        self.events, self.faults = [], []
        ids, tokens = itertools.count(1), itertools.count(1)
        sources = Sources(
            new_id=lambda: next(ids), new_seed=lambda: 77, new_token=lambda: f"t{next(tokens)}"
        )
        self.bus = EventBus()
        self.slots = Slots(self.config)
        self.host = Host(
            self.config,
            reward or RewardConfig(),
            self.slots,
            self.bus,
            sources,
            on_fault=lambda game, error: self.faults.append((game and game.game_id, error)),
        )
        self.files = None
        if folder is not None:
            self.files = JournalFiles(folder, keep=1000, max_bytes=1 << 28, max_open=64)
            self._recover()
        self.bus.subscribe(lambda game, event: self.events.append((game.game_id, event)))

    def _recover(self):
        journal, takeover = Journal(self.files), Takeover(self.host, self.config)
        self.recovered = Recovery(self.files, journal, takeover, get_logger()).run(
            lambda _done, _all: None
        )
        self.host.register.journal = journal
        takeover.settle(self.now_ns, self.wall_ns)

    @property
    def now_ns(self):
        return int(self.now_s * S)

    @property
    def wall_ns(self):
        return WALL_NS + self.now_ns

    def create(self, spec=None, *, caller="me", key="", **changes):
        spec = spec or duel_spec(**changes)
        made = self.host.create(
            spec, caller=caller, now_ns=self.now_ns, wall_ns=self.wall_ns, key=key
        )
        return self.host.game(made.game_id)

    def join(self, game, name="anna", **options):
        return self.host.join(
            game.game_id, name=name, now_ns=self.now_ns, wall_ns=self.wall_ns, **options
        )

    def start(self, spec=None, **changes):
        """A game of which every free seat was taken."""
        game = self.create(spec, **changes)
        for seat in [seat for seat, held in enumerate(game.seats) if held.is_free]:
            self.join(game, f"p{seat}", seat=seat)
        return game

    def submit(self, game, seat, *moves, **fields):
        action = Action(moves=tuple(moves), **fields)
        return self.host.submit(game, seat, action, self.now_ns)

    def poll(self, after_s=0.0):
        """Let time pass, then have the host look."""
        self.now_s += after_s
        return self.host.poll(self.now_ns, self.wall_ns)

    def wait(self, seconds, step_s=0.05):
        """Let time pass in steps."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.poll(step_s)

    def kinds(self, game):
        return [event.kind for game_id, event in self.events if game_id == game.game_id]

    def random_move(self, game, seat, rng):
        """A move that the seat's frame shows to be possible, or none."""
        dtype = frame_dtype(game.height, game.width, game.spec.n_seats)
        seen = game.frame(seat).view(dtype)[0]
        legal = np.flatnonzero(legal_mask(seen["tile"], seen["army"], game.n_allies[seat])[:-1])
        if not legal.size:
            return None
        cell, direction, half = decode_action(int(rng.choice(legal)))
        return cell, cell + (-game.width, game.width, -1, 1)[direction], half

    def close(self):
        if self.files is not None:
            self.files.close()


def image(playing, game):
    """Everything of a game's row, byte for byte, and what is beside it."""
    row, slots = game.row, playing.slots
    own = set(Games._fields) - {"scratch", "scratch_maps", "scratch_rows", "scratch_lists"}
    # A rollout's business: which cells changed since somebody looked.
    own -= {"dirty_army", "dirty_tile"}
    waiting = [
        slots.queues.orders[
            row, seat, (slots.queues.first[row, seat] + place) % playing.config.max_queue
        ]
        for seat in range(game.spec.n_seats)
        for place in range(slots.queues.n_orders[row, seat])
    ]
    return {
        **{name: getattr(slots.games, name)[row].tobytes() for name in sorted(own)},
        "waiting": np.array(waiting).tobytes(),
        "n_orders": slots.queues.n_orders[row].tobytes(),
        "bots": slots.clocks.bot[row].tobytes(),
        "acted": slots.clocks.acted[row].tobytes(),
        "tick": game.tick,
        "phase": game.phase,
        "tokens": [seat.digest for seat in game.seats],
        "names": [seat.name for seat in game.seats],
        "answers": [dict(seat.answers) for seat in game.seats],
        "events": list(game.events),
        "sent": (game.owner_digest, game.spectator_digest, game.caller),
    }
