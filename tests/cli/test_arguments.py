"""What the command line accepts, and what its help teaches."""

import pytest

from farm.cli.arguments import build_parser, parse
from farm.errors import EXIT_USAGE
from farm.version import __version__

COMMANDS = ["up", "warm", "tail", "top", "audit", "drain", "logs", "config", "bench", "play"]


def parsed(*argv):
    return parse(build_parser(), list(argv))


def test_up_takes_overrides_before_between_and_after_its_options():
    args = parsed("up", "a=1", "--tail", "b=[x,y]", "--seconds", "2.5", "~c")
    assert args.overrides == ["a=1", "b=[x,y]", "~c"]
    assert args.tail
    assert args.seconds == 2.5


def test_up_runs_until_it_is_stopped_by_default():
    args = parsed("up")
    assert (args.overrides, args.tail, args.seconds) == ([], False, None)
    assert not args.discard


def test_audit_reads_this_machine_and_drain_gives_a_minute_by_default():
    args = parsed("audit")
    assert (args.address, args.instance, args.json) == (None, "default", False)
    args = parsed("drain", "--instance", "blue")
    assert (args.instance, args.deadline, args.json) == ("blue", 60.0, False)


def test_tail_takes_an_address_and_repeated_filters():
    line = (
        "tail host:1 --json --seconds 3 --game 7 --game 8 --seat 0 --min-turn 50 "
        "--policy random --policy expander --group"
    )
    args = parsed(*line.split())
    assert args.address == "host:1"
    assert (args.json, args.seconds, args.group) == (True, 3.0, "default")
    assert (args.game, args.seat, args.min_turn) == ([7, 8], [0], 50)
    assert args.policy == ["random", "expander"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--group", ("127.0.0.1:50051", "default")),
        ("--group host:1", ("host:1", "default")),
        ("host:1 --group", ("host:1", "default")),
        ("--group blue_2", ("127.0.0.1:50051", "blue_2")),
        ("--group blue host:1", ("host:1", "blue")),
        ("host:1 --group blue", ("host:1", "blue")),
        ("--group --json host:1", ("host:1", "default")),
    ],
)
def test_tail_joins_the_trainers_or_a_group_by_name_wherever_the_address_stands(words, expected):
    args = parsed("tail", *words.split())
    assert (args.address, args.group) == expected


def test_tail_looks_on_at_everything_on_this_machine_by_default():
    args = parsed("tail")
    assert args.address == "127.0.0.1:50051"
    assert (args.game, args.seat, args.min_turn, args.policy) == ([], [], 0, [])
    assert not args.group


def test_top_takes_an_instance():
    args = parsed("top", "--instance", "blue", "--once", "--json")
    assert (args.instance, args.once, args.json) == ("blue", True, True)
    assert parsed("top").instance == "default"


def test_top_takes_the_address_of_a_farm_elsewhere():
    assert parsed("top", "host:1").address == "host:1"
    assert parsed("top").address is None


@pytest.mark.parametrize("command", ["tail", "top", "audit"])
def test_a_client_takes_the_address_of_a_unix_socket(command):
    address = "unix:/run/farm/default.sock"
    assert parsed(command, address).address == address


def test_logs_takes_a_file_or_a_unit_and_repeated_filters():
    line = "logs - -f --role rollout-0 --role experiences --event child_* --level error --since 2h"
    args = parsed(*line.split())
    assert (args.file, args.follow, args.level, args.since) == ("-", True, "error", "2h")
    assert (args.role, args.event) == (["rollout-0", "experiences"], ["child_*"])
    assert parsed("logs", "--journal", "farm@blue.service").journal == "farm@blue.service"
    assert parsed("logs").level == "debug"


def test_bench_takes_a_name_a_time_and_overrides():
    args = parsed("bench", "engine", "--seconds", "3", "worker.count=2")
    assert (args.name, args.seconds, args.overrides) == ("engine", 3.0, ["worker.count=2"])


def test_config_takes_its_switches():
    args = parsed("config", "--check", "--json", "--keys", "env=prod")
    assert (args.check, args.json, args.keys, args.overrides) == (True, True, True, ["env=prod"])


@pytest.mark.parametrize(
    "line",
    [
        "upp",
        "up --foo",
        "up --tai",
        "up --seconds 0",
        "up --seconds -1",
        "up --seconds nan",
        "up --seconds inf",
        "up --seconds soon",
        "tail a b",
        "tail a worker.count=1",
        "tail --seat -1",
        "tail --game x",
        "tail --min-turn 1.5",
        "tail 127.0.0.1",
        "tail 127.0.0.1:",
        "tail :50051",
        "tail host:0",
        "tail unix:farm.sock",
        "tail unix:",
        "tail unix:/run/farm/%66.sock",
        "tail --group Blue",
        "tail --group host:0",
        "tail host:65536",
        "top host",
        "top --instance ../x",
        "top --instance Blue",
        "top --instance -x",
        f"top --instance {'a' * 300}",
        "top a b",
        "logs a b",
        "logs --level loud",
        "logs --journal --follow",
        "logs --journal a/b",
        "top worker.count=1 b",
        "--foo",
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(line, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*line.split())
    assert caught.value.code == EXIT_USAGE
    assert "farm" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [("tail", ""), ("top", ""), ("top", "--instance", "")])
def test_an_empty_word_is_a_usage_error_that_says_what_is_expected(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(*argv)
    assert caught.value.code == EXIT_USAGE
    assert "'' is no" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["10.0.0.5:1", "[::1]:50051", "farm.test:65535"])
def test_any_host_and_port_is_an_address(address):
    assert parsed("tail", address).address == parsed("top", address).address == address


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_examples_of_it(command, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(command, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    examples = text.partition("examples:")[2]
    assert f"farm {command}" in examples
    if "[OVERRIDE ...]" in text:
        assert "match.seats=[expander,random]" in examples


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_in_the_help_are_understood(command, capsys):
    with pytest.raises(SystemExit):
        parsed(command, "--help")
    lines = capsys.readouterr().out.partition("examples:")[2].splitlines()
    shown = [line for line in lines if line.startswith(f"  farm {command}")]
    assert shown
    for line in shown:
        words = line.strip().partition("   ")[0].partition(" | ")[0].split()
        assert parsed(*words[1:]).command == command


def test_the_main_help_lists_every_command_and_every_exit_code(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in text
    for code in ("69", "70", "78"):
        assert code in text


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        parsed("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"farm {__version__}\n"
