"""Combinations that cannot work are refused by key, with the arithmetic; others pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.config.board import largest_board
from farm.config.check import CELLS_PER_SEAT, check, problems
from farm.config.convert import to_config
from farm.config.memory import next_power_of_two, ring_bound_bytes
from farm.config.schema import FarmConfig
from farm.errors import EXIT_CONFIG, ConfigError
from farm.spec.limits import MAX_SEATS, MAX_SIDE, MIN_SIDE

POLICIES = {"random", "expander", "hunter"}


def config_of(**values) -> FarmConfig:
    tree: dict = {}
    for key, value in values.items():
        section, _, name = key.partition("__")
        tree.setdefault(section, {})[name] = value
    return to_config(tree)


def test_the_default_passes():
    check(FarmConfig(), policies=POLICIES)


IMPOSSIBLE = [
    ({"match__board": "3x20"}, "match.board", ["3x20", "4 to 64"]),
    ({"match__board": "20x65"}, "match.board", ["20x65", "65"]),
    ({"match__board": "00x20"}, "match.board", ["must be 4 to 64"]),
    ({"match__seats": ["random"]}, "match.seats", ["got 1", "2 to 16"]),
    ({"match__seats": ["random"] * 17}, "match.seats", ["got 17", "2 to 16"]),
    ({"match__seats": []}, "match.seats", ["got 0"]),
    ({"match__seats": ["random", "expandr"]}, "match.seats", ["seat 1", "did you mean expander"]),
    ({"match__seats": ["Random", "random"]}, "match.seats", ["'Random'", "expander, hunter"]),
    (
        {"match__seats": ["random", "hunter:2|expandr"]},
        "match.seats",
        ["seat 1", "'expandr' in 'hunter:2|expandr'", "did you mean expander"],
    ),
    ({"match__seats": ["hunter:0", "random"]}, "match.seats", ["seat 0", "'0'", "1 to 1000000"]),
    (
        {"match__board": "4x4", "match__seats": ["random"] * 3, "match__cities": 0},
        "match.board",
        ["16 cells", "3 seats", "24"],
    ),
    ({"match__board": "4x4"}, "match.cities", ["16 cells", "set match.cities to 3 or less"]),
    ({"match__cities": 200}, "match.cities", ["80 mountains", "to 118 or less"]),
    ({"match__teams": [0, 1, 1]}, "match.teams", ["3 numbers for 2 seats"]),
    ({"match__teams": [4, 4]}, "match.teams", ["one team", "two sides"]),
    ({"match__map": "fixed"}, "match.map_file", ["match.map=fixed needs the file"]),
    (
        {"match__map": "fixed", "match__map_file": "/nowhere/map.txt"},
        "match.map_file",
        ["/nowhere/map.txt: No such file"],
    ),
    (
        {"match__map": "official", "match__map_file": "map.txt"},
        "match.map_file",
        ["match.map=official", "match.map_file to null"],
    ),
    (
        {"match__map": "toy", "match__board": "4x5", "match__seats": ["random"] * 3},
        "match.board",
        ["20 cells", "24"],
    ),
    (
        {"match__map": "official", "ring__bytes": 65_536},
        "ring.bytes",
        ["match.map=official of up to 23x23"],
    ),
    ({"rules__city_army_low": 51}, "rules.city_army_low", ["51", "rules.city_army_high=50"]),
    ({"rules__idle_ticks": 2}, "rules.idle_ticks", ["2 ends", "at tick 2", "to 3 or more"]),
    (
        {"rules__length_ticks": 9, "rules__production_period": 60},
        "rules.length_ticks",
        ["9 ends", "at tick 50", "to 51 or more"],
    ),
    ({"ring__bytes": 100_000}, "ring.bytes", ["100,000", "65536 and 131072"]),
    ({"ring__submitted_bytes": 70_000}, "ring.submitted_bytes", ["70,000", "131072 is"]),
    ({"ring__submitted_bytes": 1 << 12}, "ring.submitted_bytes", ["4,096", "65536 is", "0 for"]),
    ({"worker__count": 0, "ring__submitted_bytes": 0}, "worker.count", ["games.hosts", "nobody"]),
    (
        {"ring__bytes": 65_536},
        "ring.bytes",
        ["65,536", "match.board=20x20", "worker.steps=32", "set ring.bytes to 262144 or more"],
    ),
    ({"serve__min_batch_bytes": 2 << 20}, "serve.min_batch_bytes", ["2,097,152", "1,048,576"]),
    (
        {"match__board": "64x64", "worker__steps": 256},
        "serve.max_batch_bytes",
        ["64x64", "worker.steps=256", "set it to 4194304 or more"],
    ),
    ({"serve__credit_bytes": 1000}, "serve.credit_bytes", ["1,000", "1,048,576"]),
    ({"serve__group_idle_s": 19.0}, "serve.group_idle_s", ["19.0", "client_timeout_s=20.0"]),
    ({"serve__address": "127.0.0.1:65536"}, "serve.address", ["65536"]),
    ({"telemetry__metrics_address": "[::1]:65536"}, "telemetry.metrics_address", ["65536"]),
    (
        {"telemetry__metrics_address": "127.0.0.1:50051"},
        "telemetry.metrics_address",
        ["127.0.0.1:50051", "serve.address", "null"],
    ),
    (
        {"games__hosts": 2, "games__address": "127.0.0.1:65535"},
        "games.address",
        ["65536", "games.hosts=2", "at 65534 or below"],
    ),
    (
        {"games__hosts": 2, "games__address": "127.0.0.1:50050"},
        "games.address",
        ["127.0.0.1:50051", "serve.address"],
    ),
    (
        {"games__hosts": 1, "games__address": "127.0.0.1:9464"},
        "games.address",
        ["127.0.0.1:9464", "telemetry.metrics_address"],
    ),
    ({"games__hosts": 1, "games__ring_bytes": 3 << 20}, "games.ring_bytes", ["no power of two"]),
    (
        {"games__hosts": 1, "games__ring_bytes": 1 << 19},
        "games.ring_bytes",
        ["games.max_side=64", "games.max_seats=16", "worker.steps=32", "set it to 1048576"],
    ),
    ({"supervisor__silence_s": 1.0}, "supervisor.silence_s", ["2.0"]),
    ({"supervisor__stop_s": 6.9}, "supervisor.stop_s", ["serve.drain_s=5.0", "set it to 7.0"]),
]


@pytest.mark.parametrize(("values", "key", "parts"), IMPOSSIBLE)
def test_an_impossible_combination_is_refused_by_its_key(values, key, parts):
    with pytest.raises(ConfigError) as caught:
        check(config_of(**values), policies=POLICIES)
    assert caught.value.exit_code == EXIT_CONFIG
    assert caught.value.key == key
    for part in parts:
        assert part in caught.value.reason


AT_THE_EDGE = [
    {"ring__submitted_bytes": 0},
    {"ring__submitted_bytes": 65_536},
    {"match__board": "4x4", "match__cities": 3},
    {"match__board": "64x64"},
    {"match__board": "12x11", "match__seats": ["random"] * MAX_SEATS},
    {"match__cities": 118},
    {"match__teams": [0, 1]},
    {"match__map": "toy", "match__board": "4x4", "match__cities": 200},
    {"match__map": "official", "match__board": "4x4", "match__cities": 500},
    {"match__map": "official", "match__seats": ["random"] * 16, "match__teams": [0, 1] * 8},
    {"rules__city_army_low": 50},
    {"rules__idle_ticks": 3, "rules__length_ticks": 3},
    {"rules__idle_ticks": 1, "rules__length_ticks": 1, "rules__start_army": 2},
    {"match__seats": ["hunter:1000000|expander|random:3", "hunter|random"]},
    {"ring__bytes": 262_144},
    {"serve__group_idle_s": 20.0},
    {"serve__address": "127.0.0.1:65535"},
    {"serve__address": "127.0.0.1:0", "telemetry__metrics_address": "127.0.0.1:0"},
    {"telemetry__metrics_address": None},
    {"games__hosts": 4, "games__address": "127.0.0.1:65532"},
    {"games__hosts": 4, "games__address": "127.0.0.1:0"},
    {"games__hosts": 1, "games__ring_bytes": 1 << 20},
    {"games__hosts": 1, "games__ring_bytes": 1 << 17, "games__max_side": 20, "games__max_seats": 2},
    {"games__hosts": 0, "games__address": "127.0.0.1:50051", "games__ring_bytes": 65_537},
    {"games__hosts": 1, "telemetry__metrics_address": None},
    {"serve__credit_bytes": 1 << 20},
    {"serve__min_batch_bytes": 1 << 20},
    {"supervisor__stop_s": 7.0},
]


@pytest.mark.parametrize("values", AT_THE_EDGE)
def test_a_value_at_the_edge_passes(values):
    check(config_of(**values), policies=POLICIES)


def test_following_the_advice_on_the_ring_makes_it_pass():
    wanted = {"match__board": "40x40", "match__seats": ["random"] * 8, "ring__bytes": 65_536}
    (error,) = problems(config_of(**wanted), policies=POLICIES)
    advice = int(error.reason.split("set ring.bytes to ")[1].split()[0])
    check(config_of(**(wanted | {"ring__bytes": advice})), policies=POLICIES)
    assert [
        one.key
        for one in problems(config_of(**(wanted | {"ring__bytes": advice // 2})), policies=POLICIES)
    ] == ["ring.bytes"]


def test_several_broken_rules_are_all_found():
    config = config_of(match__seats=["nobody", "random"], ring__bytes=65_537)
    keys = [error.key for error in problems(config, policies=POLICIES)]
    assert keys == ["match.seats", "ring.bytes", "ring.bytes"]


BOARD = "G0 . . .\n. . . .\n. M . .\n. . . G1\n"


def test_a_fixed_map_passes_with_a_general_for_each_seat(tmp_path):
    file = tmp_path / "map.txt"
    file.write_text(BOARD)
    fixed = {"match__map": "fixed", "match__map_file": str(file)}
    check(config_of(**fixed), policies=POLICIES)
    assert largest_board(config_of(**fixed).match) == (4, 4)
    (error,) = problems(config_of(**fixed, match__seats=["random"] * 3), policies=POLICIES)
    assert error.key == "match.map_file"
    assert "generals for 2 seats, and match.seats names 3" in error.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOARD.replace("M", "W"), "line 3: cell 'W'"),
        (BOARD.replace("M", "\u2206"), "ascii"),
        (BOARD + "#" * 70_000, "above 65,536 bytes"),
    ],
)
def test_a_map_file_that_is_wrong_is_refused_once_and_hides_no_other_error(tmp_path, text, reason):
    file = tmp_path / "map.txt"
    file.write_text(text)
    config = config_of(
        match__map="fixed", match__map_file=str(file), supervisor__silence_s=0.5, ring__bytes=65_536
    )
    wrong_map, silence = problems(config, policies=POLICIES)
    assert (wrong_map.key, silence.key) == ("match.map_file", "supervisor.silence_s")
    assert reason in wrong_map.reason


sides = st.integers(0, 99)
anything = st.fixed_dictionaries(
    {
        "match__board": st.builds("{}x{}".format, sides, sides),
        "match__seats": st.integers(0, 20).map(lambda n_seats: ["random"] * n_seats),
        "match__mountains": st.floats(0, 0.35),
        "match__cities": st.integers(0, 512),
        "ring__bytes": st.integers(16, 34).map(lambda bits: 1 << bits),
        "worker__steps": st.integers(1, 256),
        "serve__max_batch_bytes": st.just(1 << 24),
    }
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_what_passes_has_room_for_the_map_and_for_two_chunks(values):
    config = config_of(**values)
    if list(problems(config, policies=POLICIES)):
        return
    match = config.match
    n_mountains = round(match.mountains * match.n_cells)
    assert MIN_SIDE <= min(match.size) <= max(match.size) <= MAX_SIDE
    assert match.n_cells >= CELLS_PER_SEAT * match.n_seats
    assert 2 * (match.n_cells - n_mountains - match.n_seats - match.cities) >= match.n_cells
    assert config.ring.bytes >= ring_bound_bytes(config)


@given(st.integers(1, 1 << 40))
def test_the_next_power_of_two_is_the_smallest_that_holds(n):
    power = next_power_of_two(n)
    assert power.bit_count() == 1
    assert power // 2 < n <= power


ADDRESSES = ["serve.address", "telemetry.metrics_address"]


@pytest.mark.parametrize("key", ADDRESSES)
def test_the_path_of_a_unix_socket_has_at_most_107_bytes(key):
    path = "/" + "x" * 106
    config = config_of(**{key.replace(".", "__"): f"unix:{path}"})
    assert list(problems(config, policies=POLICIES)) == []
    config = config_of(**{key.replace(".", "__"): f"unix:{path}y"})
    with pytest.raises(
        ConfigError, match=r"has 108 bytes, .* at most 107; choose a shorter"
    ) as far:
        check(config, policies=POLICIES)
    assert far.value.key == key


@pytest.mark.parametrize("address", ["unix:run/s", "unix:", "unix:/a b", "unix:/a%62", "unix:x:5"])
@pytest.mark.parametrize("key", ADDRESSES)
def test_a_unix_socket_has_a_path_from_the_root_of_plain_characters(key, address):
    with pytest.raises(ConfigError, match=r"nix socket|unix:/run") as refused:
        config_of(**{key.replace(".", "__"): address})
    assert refused.value.key == key


def test_service_and_metrics_do_not_share_a_socket():
    address = "unix:/run/farm/default.sock"
    config = config_of(serve__address=address, telemetry__metrics_address=address)
    with pytest.raises(ConfigError, match=r"is serve\.address as well"):
        check(config, policies=POLICIES)


def test_limits_have_least_values_that_do_not_shut_everybody_out():
    for name in ("open_streams", "calls_in_flight", "calls_per_second"):
        with pytest.raises(ConfigError, match=f"limits.{name}"):
            config_of(**{f"limits__{name}": 0})
    for name in ("bytes_per_second_in", "bytes_per_second_out"):
        with pytest.raises(ConfigError, match=f"limits.{name}"):
            config_of(**{f"limits__{name}": 65_535})
        assert config_of(**{f"limits__{name}": None}) == FarmConfig()
