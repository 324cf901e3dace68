"""Who plays a game: a policy for each seat, drawn from the seat's weighted mix (farm.jit).

The draw depends on the seed, the game's number and the seat alone, from a stream of its own: it is
the same whichever worker plays the game, and no other random number of the game depends on it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from farm.config.mix import parse_mix
from farm.engine.bits import int64
from farm.engine.rng import pick, stream_key
from farm.jit import inline
from farm.policies.registry import POLICIES, POLICY_NAMES, policy_info

NO_POLICY: Final = -1
"""Code of a seat that nobody here plays: all of its weights are 0."""

_PURPOSE: Final = 64
"""Purpose of the first seat's stream; those of the game itself are numbered from 0 (rng.py)."""


def lineup(seats: Sequence[str | None]) -> NDArray[np.int32]:
    """The weights of each seat's mix.

    Args:
        seats: for each seat a policy or a mix (config.mix); None for one that is played otherwise.

    Returns:
        int32[n_seats, n_policies], by seat and policy code.

    Raises:
        ValueError: a mix is not right.
    """
    weights = np.zeros((len(seats), len(POLICIES)), np.int32)
    for seat, text in enumerate(seats):
        for share in () if text is None else parse_mix(text, POLICY_NAMES):
            weights[seat, policy_info(share.policy).code] = share.weight
    return weights


@inline
def draw_lineup(
    weights: NDArray[np.int32], seed: np.uint64, game_number: np.uint64, codes: NDArray[np.int32]
) -> None:
    """Draw the policies of one game.

    Args:
        weights: int32[n_seats, n_policies] (`lineup`), read.
        seed: the farm's seed.
        game_number: the game's number under that seed.
        codes: int32[n_seats], set to the code of each seat's policy, or NO_POLICY.

    Writes:
        codes.
    """
    for seat in range(weights.shape[0]):
        total = 0
        for code in range(weights.shape[1]):
            total += int64(weights[seat, code])
        codes[seat] = NO_POLICY
        if total > 0:
            left = pick(stream_key(seed, game_number, _PURPOSE + seat), total)
            for code in range(weights.shape[1]):
                weight = int64(weights[seat, code])
                if 0 <= left < weight:
                    codes[seat] = code
                left -= weight
