"""How fast the plain-Python oracle is: the duel of `farm bench engine`, printed as one JSON line.

    python tests/engine/oracle_speed.py [SECONDS]

A step is a tick with two players who draw a valid move, and with both observations.
"""
# ruff: noqa: T201 - standard output is what the bench reads

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.oracle import Oracle, Variant

SIDE = 20
TICKS = 1000
"""Of a game, as the bench cuts it."""


def board(rng):
    """A board with the bench's densities."""
    cells = rng.sample(range(SIDE * SIDE), SIDE * SIDE)
    cities = [cells.pop() for _ in range(10)]
    return {
        "height": SIDE,
        "width": SIDE,
        "generals": [cells.pop(), cells.pop()],
        "mountains": [cells.pop() for _ in range(SIDE * SIDE // 5)],
        "cities": cities,
        "city_armies": [rng.randint(40, 50) for _ in cities],
        "swamps": [],
        "deserts": [],
        "neutrals": [],
        "neutral_armies": [],
        "teams": None,
    }


def random_move(rng, game, player):
    """A valid move of a player, if it is found soon."""
    own = [cell for cell in range(game.n_cells) if game.owner[cell] == player]
    for _ in range(8 if own else 0):
        start = rng.choice(own)
        end = start + rng.choice((-SIDE, SIDE, -1, 1))
        if game.valid(player, start, end):
            return start, end, rng.randrange(2)
    return None


def steps_per_s(seconds, seed=1):
    """Ticks a second; the time for drawing moves is not counted."""
    rng = random.Random(seed)
    spent_s, steps = 0.0, 0
    while spent_s < seconds:
        game = Oracle(board(rng), Variant())
        while not game.over and game.tick < TICKS and spent_s < seconds:
            moves = [(player, random_move(rng, game, player)) for player in game.players]
            began = time.perf_counter()
            for player, move in moves:
                if move:
                    game.enqueue(player, *move)
            game.step()
            for player in game.players:
                game.observe(player)
            spent_s += time.perf_counter() - began
            steps += 1
    return steps / spent_s


if __name__ == "__main__":
    asked = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(json.dumps({"oracle_steps_per_s": round(steps_per_s(asked))}))
