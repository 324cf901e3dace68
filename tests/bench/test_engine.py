"""`farm bench engine`: table and grid cover what they say, with figures that can be true."""

import itertools
import json

import pytest

from farm.bench import engine
from farm.cli import main as cli
from farm.engine.settings import HEIGHT, MAP, OFFICIAL, WIDTH
from farm.errors import EXIT_CONFIG, EXIT_OK
from farm.policies.registry import POLICY_NAMES

SECONDS = "0.2"


@pytest.fixture(scope="module")
def figures():
    """Of a run as short as it can be: what is measured is each case once or a few times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ORACLE", engine.ORACLE.with_name("absent"))
        patch.setattr(engine, "reset_share", lambda _: 0.01)
        return engine.run(float(SECONDS), ["worker.games=2"])


def test_the_grid_has_every_board_seats_and_policy_with_frames_copied_and_not(figures):
    names = itertools.product(("10x10", "20x20", "official"), ("2", "4", "8"), POLICY_NAMES)
    assert set(figures["grid"]) == {"_".join(name) for name in names}
    for name, (copied, bare) in figures["grid"].items():
        assert min(copied, bare) > 1000, name


def test_the_table_varies_board_seats_batch_and_policy(figures):
    varied = {"board_10x10", "board_40x40", "seats_2", "seats_8", "games_1", "games_1024"}
    varied |= {"no_frames_copied", "with_memory", *(f"policy_{name}" for name in POLICY_NAMES)}
    assert varied < set(figures)
    assert figures["observations_per_s"] == pytest.approx(2 * figures["env_steps_per_s"], abs=2)
    # Sixteen times the cells: growth and frames alone take longer than noise can hide.
    assert figures["board_40x40"] < figures["board_10x10"]


def test_a_grid_is_played_by_the_boards_that_it_names():
    grid = engine._grid(engine.configured(["match=team2v2"]))
    official = engine.new_game_of(grid["official_8_hunter"]).numbers
    small = engine.new_game_of(grid["10x10_4_random"]).numbers
    assert official[MAP] == OFFICIAL
    assert (small[HEIGHT], small[WIDTH]) == (10, 10)


def test_a_match_that_is_chosen_keeps_its_seats_and_without_one_they_are_random():
    assert engine.configured([]).policies == ("random", "random")
    assert engine.configured(["match.board=9x9"]).policies == ("random", "random")
    chosen = engine.configured(["match=team2v2"])
    assert (chosen.policies, chosen.teams) == (("expander",) * 4, (0, 0, 1, 1))
    assert engine.configured(["match=duel", "match.seats=[hunter,random]"]).policies[0] == "hunter"


def test_a_match_that_is_not_right_is_refused_by_its_key(capsys):
    assert cli.main(["bench", "engine", "match.board=3x3"]) == EXIT_CONFIG
    assert "match.board" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_command_prints_one_line_of_json_with_the_oracles_speed_and_the_share_of_resets(capsys):
    assert cli.main(["bench", "engine", "--seconds", SECONDS]) == EXIT_OK
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 100 < figures["oracle_steps_per_s"] < figures["env_steps_per_s"] / 100
    assert max(figures["reset_share"].values()) < 0.1
