"""`farm bench step_time`: the parts of a step come to the whole of it, whatever is played."""

import pytest

from farm.bench import step_time

PARTS = ("policies", "moves", "idle", "copies", "resets")


@pytest.mark.parametrize(
    ("match", "board"),
    [
        (["match.board=8x8", "match.cities=2", "match.seats=[hunter|expander,random]"], "8x8"),
        (["match=team2v2", "match.max_turns=100"], "26x26"),
    ],
)
def test_the_parts_of_a_step_come_to_the_whole(match, board):
    figures = step_time.run(0.01, [*match, "worker.games=2"])
    assert figures["board"] == board
    parts = [figures[f"{part}_ns"] for part in PARTS]
    # Medians of runs that are timed apart: they need not add up to the last percent.
    assert sum(parts) == pytest.approx(figures["step_ns"], rel=0.3)
    assert figures["times_floor"] == pytest.approx(
        figures["step_ns"] / figures["floor_ns"], rel=0.05
    )
    assert 0 < figures["floor_ns"] < figures["step_ns"]


def test_only_games_that_are_over_are_set_up_anew_and_each_run_has_as_many():
    short = ["match.board=8x8", "match.cities=2", "match.max_turns=16", "worker.games=2"]
    runs = step_time._Runs(step_time.configured(short)).round()
    # A reset every 32 ticks, and for random seats hardly ever a capture before that.
    assert runs["whole"].resets == pytest.approx(1 / 32, rel=0.1)
    assert runs["whole"].resets == runs["repeated"].resets
    assert runs["copied"].resets == 0
