"""The conformance games: read in place, played tick by tick on whatever plays them."""

import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).parents[2].parent / "shared" / "conformance"
MAP_FIELDS = (
    "generals",
    "mountains",
    "cities",
    "city_armies",
    "swamps",
    "deserts",
    "neutrals",
    "neutral_armies",
    "teams",
)


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
    for seat, start, end, half in recording["orders"][tick]:
        player.enqueue(seat, start, end, half)
    for seat, when in recording["surrenders"]:
        if when == tick:
            player.leave(seat)


def _play_moves(recording, player, tick):
    for seat, start, end, half, when in recording["moves"]:
        if when == tick:
            player.enqueue(seat, start, end, half)
    left = set()
    for seat, when in recording["afks"]:
        if when == tick:
            if seat in left:
                player.neutralise(seat)
            else:
                player.leave(seat)
        left.add(seat)
