"""`farm bench win_rates`: every pair once, seats swapped, intervals as Wilson has them."""

import json

import pytest

from farm.bench.win_rates import play_pair, wilson
from farm.cli import main as cli
from farm.config.schema import FarmConfig, MatchConfig, WorkerConfig
from farm.errors import EXIT_CONFIG, EXIT_OK

SMALL = ("worker.games=11", "match.board=8x8", "match.cities=2", "match.max_turns=60")


@pytest.mark.parametrize(
    ("won", "games", "low", "high"),
    [  # Newcombe 1998, table I, method 3 (without continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(won, games, low, high):
    assert wilson(won, games) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(games - won, games)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_table_has_every_pair_and_the_line_of_json_its_figures(capsys):
    assert cli.main(["bench", "win_rates", *SMALL]) == EXIT_OK
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    pairs = {"expander_random", "hunter_random", "hunter_expander"}
    assert pairs < set(figures)
    # An odd number is made even: half of the games each way.
    assert figures["games"] == 12
    for pair in pairs:
        row = figures[pair]
        assert row["won"] + row["lost"] + row["truncated"] == 12
        assert row["win_rate"] == pytest.approx(row["won"] / 12, abs=1e-4)
        assert row["interval"][0] <= row["win_rate"] <= row["interval"][1]
        assert pair.replace("_", " - ") in err
    assert "truncated" in err


def test_the_same_seed_gives_the_same_table_and_another_seed_another(capsys):
    tables = []
    for seed in (1, 1, 2):
        assert cli.main(["bench", "win_rates", *SMALL, f"seed={seed}"]) == EXIT_OK
        figures = json.loads(capsys.readouterr().out.splitlines()[-1])
        tables.append({name: row for name, row in figures.items() if isinstance(row, dict)})
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_a_pair_turned_around_is_the_same_games_seen_from_the_other_side():
    match = MatchConfig(board="8x8", cities=2, max_turns=60)
    config = FarmConfig(match=match, worker=WorkerConfig(games=40))
    one = play_pair(("hunter", "expander"), config, 1)
    other = play_pair(("expander", "hunter"), config, 1)
    assert (one.won, one.lost, one.truncated) == (other.lost, other.won, other.truncated)


def table_of(capsys, *overrides):
    """The figures of a small table, without the settings that it tells."""
    assert cli.main(["bench", "win_rates", "worker.games=6", *overrides]) == EXIT_OK
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_plays_on_the_map_and_by_the_rules_that_the_config_names(capsys):
    official = table_of(capsys, "match=official", "match.max_turns=200")
    assert (official["map"], official["board"]) == ("official", "23x23")
    small = ("match.board=10x10", "match.cities=2", "match.max_turns=150")
    uniform, simple = (table_of(capsys, *small, f"rules={r}") for r in ("official", "simple"))
    assert (uniform["map"], uniform["board"]) == ("uniform", "10x10")
    # Growth every tick: other games are decided in 300 ticks.
    assert uniform != simple


def test_a_match_for_more_seats_or_teams_is_played_as_duels(capsys):
    table = table_of(capsys, "match=team2v2", "match.max_turns=100")
    assert table["board"] == "23x23"
    assert table["expander_random"]["won"] + table["expander_random"]["truncated"] > 0


def test_duels_are_played_on_a_given_map_for_two_and_no_other(tmp_path, capsys):
    rows = ". . . .\n. . . .\n"
    given = tmp_path / "map.txt"
    given.write_text(f"G0 . . .\n{rows}. . . G1\n", encoding="ascii")
    override = ("match.map=fixed", f"match.map_file={given}", "match.max_turns=100")
    assert table_of(capsys, *override)["board"] == "4x4"
    given.write_text(f"G0 . . .\n{rows}G2 . . G1\n", encoding="ascii")
    assert cli.main(["bench", "win_rates", *override]) == EXIT_CONFIG
    assert "match.map_file" in capsys.readouterr().err


def test_a_match_that_is_not_right_is_refused_by_its_key(capsys):
    assert cli.main(["bench", "win_rates", "match.board=3x3"]) == EXIT_CONFIG
    assert "match.board" in capsys.readouterr().err
