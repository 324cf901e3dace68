"""`win_rates`: which policy beats which in duels, and how surely.

Every pair of policies plays `worker.games` duels, half of them with the seats swapped on the same
maps. A game that reaches `match.max_turns` is truncated and won by nobody: a win rate is wins among
all games. Intervals are Wilson's for 95 %. How many games there are does not depend on the seconds;
overrides set `match` (its seats and teams are left aside), `rules`, `worker.games` and `seed`.
"""

import itertools
import math
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import structs

from farm.config.board import largest_board
from farm.config.check import check
from farm.config.load import compose
from farm.config.schema import FarmConfig
from farm.engine.batch import Batch
from farm.policies.registry import POLICIES, POLICY_NAMES, policy_info
from farm.policies.rollout import play_out
from farm.worker.plan import match_settings

DEFAULTS: Final = ("worker.games=1000",)
DEFAULT_SEED: Final = 1
"""Where the config has none: a table should come out the same again."""
DUEL: Final = ("match.seats=[hunter,expander]", "match.teams=null")
"""Whatever the match is for, it is checked as one of two; each pair then takes the seats."""
BATCH_GAMES: Final = 50
"""Games of one kernel call; a terminal is told in between how far it is."""

_Z: Final = 1.959964
"""Of a normal distribution, 95 % lie within as many standard deviations."""


class Score(NamedTuple):
    """How the duels of a pair ended, for the first of the two."""

    won: int
    lost: int
    truncated: int

    @property
    def games(self) -> int:
        """All of them."""
        return self.won + self.lost + self.truncated


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Play every pair of policies, the one listed later in the registry first.

    Returns:
        The settings, and for each pair, named `first_second`, its games `won`, `lost` and
        `truncated`, its `win_rate` and the `interval` around it.
    """
    del seconds
    config = compose([*DEFAULTS, *overrides, *DUEL]).config
    check(config, policies=POLICY_NAMES)
    seed = DEFAULT_SEED if config.seed is None else config.seed
    figures: dict[str, object] = {
        "map": config.match.map,
        "board": "x".join(map(str, largest_board(config.match))),
        "max_turns": config.match.max_turns,
        "seed": seed,
        "games": _games_each_way(config) * 2,
    }
    print(_TITLE, file=sys.stderr)
    for second, first in itertools.combinations(POLICIES, 2):
        score = play_pair((first.name, second.name), config, seed)
        low, high = wilson(score.won, score.games)
        figures[f"{first.name}_{second.name}"] = {
            **score._asdict(),
            "win_rate": round(score.won / score.games, 4),
            "interval": [round(low, 4), round(high, 4)],
        }
        print(_row(f"{first.name} - {second.name}", score), file=sys.stderr)
    return figures


def play_pair(pair: tuple[str, str], config: FarmConfig, seed: int) -> Score:
    """Play two policies against each other, in both orders of seats."""
    match = structs.replace(config.match, seats=pair, teams=None)
    new_game = match_settings(match, config.rules)
    each_way = _games_each_way(config)
    total = np.zeros(3, np.int64)
    for first_seat, first_game in itertools.product((0, 1), range(0, each_way, BATCH_GAMES)):
        n_games = min(BATCH_GAMES, each_way - first_game)
        batch = Batch(n_games, new_game, seed=seed, first_game=first_game)
        seated = pair if first_seat == 0 else pair[::-1]
        codes = np.array([policy_info(name).code for name in seated], np.int32)
        play_out(batch.games, codes, np.zeros(2, np.int32))
        won = int((batch.winner == first_seat).sum())
        lost = int((batch.winner == 1 - first_seat).sum())
        total += (won, lost, n_games - won - lost)
        _tell(f"{pair[0]} - {pair[1]}: {total.sum()} of {2 * each_way} games")
    _tell("")
    return Score(*map(int, total))


def wilson(n_won: int, n_games: int) -> tuple[float, float]:
    """Wilson's interval: win rates under which so many wins are no surprise, 95 in 100 times."""
    share = n_won / n_games
    weight = _Z * _Z / n_games
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def _tell(text: str) -> None:
    """Replace the last line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _games_each_way(config: FarmConfig) -> int:
    """Half of the games, rounded up."""
    return -(-config.worker.games // 2)


_TITLE: Final = (
    f"{'pair':<20} {'games':>6} {'won':>6} {'lost':>6} {'truncated':>9}  win rate (95 %)"
)


def _row(name: str, score: Score) -> str:
    low, high = wilson(score.won, score.games)
    return (
        f"{name:<20} {score.games:>6} {score.won:>6} {score.lost:>6} {score.truncated:>9}  "
        f"{score.won / score.games:.1%} ({low:.1%} to {high:.1%})"
    )
