"""The conformance games, read in place: they are never copied into this repository."""

import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "../shared/conformance"
ABSENT = f"the conformance games are kept outside the repository, in {FOLDER}"
FILES = ("orders", "recorded")


def read_games(name):
    with gzip.open(FOLDER / f"{name}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def first_mismatch(recording, player):
    """Play a recording; the first tick whose state has another hash, or None.

    `player` has `enqueue(seat, start, end, half)`, `leave(seat)`, `neutralise(seat)`, `step()` and
    `digest()`.
    """
    play = _play_orders if recording["kind"] == "orders" else _play_moves
    for tick, expected in enumerate(recording["hashes"]):
        play(recording, player, tick)
        player.step()
        if player.digest() != expected:
            return tick
    return None


def _play_orders(recording, player, tick):
    for order in recording["orders"][tick]:
        player.enqueue(*order)
    for seat, when in recording["surrenders"]:
        if when == tick:
            player.leave(seat)


def _play_moves(recording, player, tick):
    for *order, when in recording["moves"]:
        if when == tick:
            player.enqueue(*order)
    left = set()
    for seat, when in recording["afks"]:
        if when == tick:
            (player.neutralise if seat in left else player.leave)(seat)
        left.add(seat)
