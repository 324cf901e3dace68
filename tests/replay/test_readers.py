"""Other formats become the same model; bad files one line that names file and reason."""

import gzip
import json

import pytest
from replay.games import BOARD, march, wandering
from replay.test_journal import STARTS, WRITTEN
from replay.test_lzstring import compress

from farm.engine import rules
from farm.errors import EXIT_INTERNAL, EXIT_UNAVAILABLE, FileAccessError, ReplayError
from farm.replay.codec import encode
from farm.replay.files import read_replays, write_replays
from farm.replay.lines import read_line
from farm.replay.model import Leave, Order, Rules
from farm.replay.official import read_official

BOARD_FIELDS = {
    "width": 6,
    "height": 5,
    "generals": [0, 29, 5],
    "mountains": [7, 8],
    "cities": [14],
    "city_armies": [40],
    "swamps": [2],
    "deserts": [12],
    "neutrals": [20],
    "neutral_armies": [3],
    "teams": None,
}
MACHINE_MADE = {
    **BOARD_FIELDS,
    "id": "trace-1",
    "orders": [[], [[0, 0, 1, 0], [2, 5, 99, 1]], []],
    "surrenders": [[2, 1]],
    "hashes": ["0123456789ab", "ba9876543210"],
    "final": {"owner": [0, -1], "army": [2, 0], "generals": [0]},
}
RECORDED = {
    **BOARD_FIELDS,
    "id": "game-1",
    "replay_version": 13,
    "moves": [[1, 29, 28, 1, 4], [0, 0, 1, 0, 2]],
    "afks": [[1, 9], [2, 5]],
    "hashes": ["0123456789ab"] * 8,
}
OFFICIAL = [
    17,
    "HxG8",
    6,
    5,
    ["Ann", "B\u00f6", None],
    [10, 20, 0],
    [14],
    [40],
    [0, 29, None],
    [7, 8],
    [[0, 0, 1, 0, 2], [1, 29, 28, 1, 4]],
    [[1, 9], [1, 59]],
    None,
    "a map",
    [20],
    [3],
    [2],
    [["hi", "", 0, 3]],
    [0, 1, 2],
    [],
    [1, 0.5, 0.5, 0, -1, -1],
    [],
    [],
    [],
    [12],
    None,
]


def line(game, **fields):
    return json.dumps({**game, **fields}).encode()


def official(*, upto=None, **places):
    array = [places.get(f"at_{i}", value) for i, value in enumerate(OFFICIAL[:upto])]
    return compress(json.dumps(array))


def test_a_machine_made_game_has_its_orders_at_the_tick_they_arrived():
    replay = read_line(line(MACHINE_MADE), 1)
    assert replay.map == BOARD
    assert replay.orders == (Order(1, 0, 0, 1, 0), Order(1, 2, 5, 99, 1))
    assert replay.leaves == (Leave(1, 2),)
    assert (replay.game_id, replay.n_ticks, replay.n_hashes) == ("trace-1", 3, 2)
    assert replay.hash_after(2).hex() == "ba9876543210"
    assert replay.hash_after(3) == replay.final_hash != b""
    assert not replay.rules.general_trade
    assert replay.rules.neutralise_after == 50


def test_a_recorded_game_is_sorted_by_tick_and_played_by_the_rules_of_its_version():
    replay = read_line(line(RECORDED), 1)
    assert [order.tick for order in replay.orders] == [2, 4]
    assert replay.leaves == (Leave(5, 2), Leave(9, 1))
    assert (replay.n_hashes, replay.n_ticks) == (8, 10)
    assert replay.rules == Rules.of(rules.of_replay(13))


def test_a_recorded_game_lasts_until_its_last_hash_or_event():
    assert read_line(line(RECORDED, hashes=[]), 1).n_ticks == 10
    assert read_line(line(RECORDED, hashes=["0123456789ab"] * 12), 1).n_ticks == 12


def test_a_game_without_an_id_is_named_by_its_line():
    assert read_line(line({k: v for k, v in RECORDED.items() if k != "id"}), 7).game_id == "line 7"


def test_no_start_of_another_format_forgets_what_waits():
    machine_made = read_line(line(MACHINE_MADE, orders=[[[0, -1, 1, 0]]]), 1)
    recorded = read_line(line(RECORDED, moves=[[0, -1, 1, 0, 2]]), 1)
    from_file = read_official(official(at_10=[[0, -1, 1, 0, 2]]))
    for replay in (machine_made, recorded, from_file):
        assert [order.start for order in replay.orders] == [-2]


def test_unknown_fields_of_a_line_are_left_alone():
    assert read_line(line(RECORDED, comment="a close one"), 1) == read_line(line(RECORDED), 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"orders": []}, "either `orders` or `moves`"),
        ({"replay_version": None}, "replay_version"),
        ({"width": "6"}, "width"),
        ({"generals": [0, 29, 30]}, "cell 30 on a board of 30"),
        ({"moves": [[3, 0, 1, 0, 0]]}, "seat 3 in a game of 3"),
        ({"moves": [[0, 0, 1, 2, 0]]}, r"\$\.moves"),
        ({"hashes": ["0123"]}, "hashes"),
    ],
)
def test_a_bad_line_is_refused_with_its_file_number_and_reason(tmp_path, fields, words):
    path = tmp_path / "games.jsonl"
    path.write_bytes(line(RECORDED) + b"\n\n" + line(RECORDED, **fields) + b"\n")
    found = read_replays(path)
    assert next(found).replay.game_id == "game-1"
    with pytest.raises(ReplayError, match=rf"games.jsonl: line 3: .*{words}"):
        next(found)


def test_an_official_file_has_everything_that_matters_to_the_rules():
    replay = read_official(official())
    assert replay.game_id == "HxG8"
    assert replay.players == ("Ann", "B\u00f6", "")
    assert replay.map.generals == (0, 29, -1)
    assert (replay.map.neutrals, replay.map.swamps, replay.map.deserts) == ((20,), (2,), (12,))
    assert replay.orders == (Order(2, 0, 0, 1, 0), Order(4, 1, 29, 28, 1))
    assert replay.leaves == (Leave(9, 1), Leave(59, 1))
    assert replay.n_ticks == 60
    assert replay.rules == Rules.of(rules.of_replay(17))


def test_an_older_official_file_ends_sooner():
    replay = read_official(official(upto=13, at_0=5))
    assert replay.map.neutrals == ()
    assert replay.rules.city_growth_below == 40


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at_0": 4}, "replay version 4; 5 and later"),
        ({"at_21": [2]}, "modifiers"),
        ({"at_22": [3]}, "observatories"),
        ({"upto": 9}, "at least"),
        ({"at_2": 70}, r"\$\[2\]"),
        ({"at_10": [[0, 0, 1]]}, r"\$\[10\]"),
    ],
)
def test_an_official_game_that_the_farm_cannot_play_is_refused_with_the_reason(
    tmp_path, changes, words
):
    path = tmp_path / "odd.gior"
    path.write_bytes(official(**changes))
    with pytest.raises(ReplayError, match=rf"odd\.gior: .*{words}"):
        list(read_replays(path))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("own.replay", encode([march()])),
        ("misnamed.gior", encode([march()])),
        ("plain.jsonl", line(RECORDED)),
        ("packed.jsonl.gz", gzip.compress(line(MACHINE_MADE) + b"\n")),
        ("official.gior", official()),
        ("7.journal", WRITTEN),
        ("renamed.jsonl", WRITTEN),
    ],
)
def test_a_file_is_known_by_its_contents(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    (found,) = read_replays(path)
    assert found.read_bytes == len(data)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.replay", b"", "it is empty"),
        ("noise.replay", b"\x00\x01\x02\x03" * 9, "neither"),
        ("noise.gior", b"\xff" * 40, "no replay the farm reads"),
        ("blank.jsonl", b"{}\n", "line 1: .*width"),
        ("cut.jsonl", line(RECORDED)[:-9], "line 1"),
        ("none.replay", encode([]), "holds no games"),
        ("cut.jsonl.gz", gzip.compress(line(RECORDED))[:-20], "damaged gzip data"),
        ("cut.replay", encode([march()])[:-1], "bytes of games"),
        ("cut.journal", WRITTEN[: STARTS[0] - 1], "no whole header"),
        ("gap.journal", WRITTEN[: STARTS[1]] + WRITTEN[STARTS[1] + 5 :], "entry 2, .* damaged"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(tmp_path, name, data, words):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ReplayError, match=rf"{name}: .*{words}") as caught:
        list(read_replays(path))
    assert caught.value.exit_code == EXIT_INTERNAL


@pytest.mark.parametrize("name", ["absent.replay", "."])
def test_a_file_that_cannot_be_opened_is_refused_with_its_name(tmp_path, name):
    with pytest.raises(FileAccessError, match=str(tmp_path)) as caught:
        list(read_replays(tmp_path / name))
    assert caught.value.exit_code == EXIT_UNAVAILABLE


@pytest.mark.parametrize(
    ("bound", "name", "data"),
    [
        ("MAX_OFFICIAL_BYTES", "a.gior", official()),
        ("MAX_LINE_BYTES", "a.jsonl", line(RECORDED)),
        ("journal.MAX_FILE_BYTES", "a.journal", WRITTEN),
        ("MAX_UNPACKED_BYTES", "a.jsonl.gz", gzip.compress(line(RECORDED))),
    ],
)
def test_an_oversized_file_is_refused(tmp_path, monkeypatch, bound, name, data):
    monkeypatch.setattr(f"farm.replay.files.{bound}", 100)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ReplayError, match=r"100\b.* bytes"):
        list(read_replays(tmp_path / name))


def test_a_written_file_is_read_back_and_readable_to_others(tmp_path):
    path = tmp_path / "games.replay"
    games = [march(), wandering()]
    assert write_replays(path, games) == path.stat().st_size
    assert [found.replay for found in read_replays(path)] == games
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileAccessError, match="taken"):
        write_replays(tmp_path / "taken", [march()])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
