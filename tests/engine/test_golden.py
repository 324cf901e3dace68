"""A recorded playthrough: any change in how games are made, played or ended shows as a diff."""

from pathlib import Path

from engine.playthrough import playthrough

GOLDEN = Path(__file__).parents[1] / "golden" / "duel.txt"


def test_the_recorded_duel_is_played_again_to_the_letter():
    assert playthrough() == GOLDEN.read_text()
