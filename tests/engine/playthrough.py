"""A whole game as text, to be compared with one that was looked over by eye.

After a change of rules, maps or policies that is meant, write it anew from the repository's root:

    PYTHONPATH=.:tests python tests/engine/playthrough.py > tests/golden/duel.txt
"""

import sys

import numpy as np

from farm.engine.batch import Batch
from farm.engine.settings import settings
from farm.engine.state import view
from farm.jit import kernel
from farm.policies.dispatch import choose
from farm.policies.registry import EXPANDER, RANDOM
from farm.spec import decode_action, tiles

SHOWN_EVERY = 20
"""Ticks between two pictures of the board; moves are shown all."""
NAMES = "ab"
ARROWS = "^v<>"
MARKS = {
    tiles.PLAIN: " ",
    tiles.CITY: "*",
    tiles.GENERAL: "!",
    tiles.MOUNTAIN: "#",
    tiles.SWAMP: "~",
    tiles.DESERT: ":",
}


@kernel
def choose_all(games, codes, actions):
    """The action of each seat of the first game."""
    game = view(games, 0)
    for seat in range(game.n_seats):
        actions[0, seat] = choose(codes[seat], game, seat)[0]


def playthrough():
    """A duel of expander (a) and random (b) on a small board, to its end."""
    batch = Batch(1, settings(7, 9, 2, cities=3, max_ticks=400), seed=20)
    codes = np.array([EXPANDER, RANDOM], np.int32)
    actions = np.zeros((1, 2), np.int32)
    lines = [*board(batch)]
    while not batch.over[0]:
        choose_all(batch.games, codes, actions)
        moves = (move(batch, seat, int(actions[0, seat])) for seat in range(2))
        lines.append(f"{batch.tick[0]:>4}  {'   '.join(moves)}".rstrip())
        batch.step(actions)
        if batch.tick[0] % SHOWN_EVERY == 0 or batch.over[0]:
            lines += board(batch)
    lines.append(f"winner: {NAMES[batch.winner[0]]}")
    return "\n".join(lines) + "\n"


def move(batch, seat, action):
    if action == 8 * batch.height * batch.width:
        return f"{NAMES[seat]} pass     "
    cell, direction, half = decode_action(action)
    row, column = divmod(cell, batch.width)
    return f"{NAMES[seat]} {row},{column} {ARROWS[direction]}{' half' if half else '     '}"


def board(batch):
    games = batch.games
    for row in range(batch.height):
        cells = range(row * batch.width, (row + 1) * batch.width)
        yield " ".join(picture(games, cell) for cell in cells).rstrip()
    yield f"armies {games.total_army[0].tolist()} land {games.land[0].tolist()}"


def picture(games, cell):
    """Four characters: owner, army, terrain."""
    mark = MARKS[int(games.terrain[0, cell])]
    owner = int(games.owner[0, cell])
    army = int(games.army[0, cell]) or ("." if mark == " " else mark)
    return f"{NAMES[owner] if owner >= 0 else ' '}{army:>2}{mark}"


if __name__ == "__main__":
    sys.stdout.write(playthrough())
