"""How a command ends: its exit code, one line on standard error, nothing left half said."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from farm.cli import main as cli
from farm.errors import (
    EXIT_CONFIG,
    EXIT_INTERNAL,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    AddressInUseError,
    ConfigError,
    FarmError,
    UsageError,
)


@pytest.fixture
def command(monkeypatch):
    """Put a function in the place of `farm top`."""

    def install(function):
        module = types.ModuleType("farm.cli.top")
        module.run = function
        monkeypatch.setitem(sys.modules, "farm.cli.top", module)

    return install


def raising(error):
    def run(_args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("match.seats", "17 of them"), EXIT_CONFIG, "farm: match.seats: 17 of them\n"),
        (
            AddressInUseError("127.0.0.1:1 is taken"),
            EXIT_UNAVAILABLE,
            "farm: 127.0.0.1:1 is taken\n",
        ),
        (UsageError("what?"), EXIT_USAGE, "farm: what?\n"),
        (FarmError("two\n  lines\n"), EXIT_INTERNAL, "farm: two; lines\n"),
    ],
)
def test_an_error_of_the_farms_own_is_one_line_and_its_code(command, capsys, error, code, text):
    command(raising(error))
    assert cli.main(["top"]) == code
    captured = capsys.readouterr()
    assert captured.err == text
    assert captured.out == ""


def test_any_other_error_is_internal_and_shows_its_traceback(command, capsys):
    command(raising(ZeroDivisionError("oops")))
    assert cli.main(["top"]) == EXIT_INTERNAL
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_the_exit_code_of_the_command_is_passed_on(command):
    command(lambda _args: 7)
    assert cli.main(["top"]) == 7


def test_the_arguments_reach_the_command(command):
    seen = []
    command(lambda args: seen.append(args.instance) or EXIT_OK)
    cli.main(["top", "--instance", "blue"])
    assert seen == ["blue"]


def test_ctrl_c_ends_quietly(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["top"]) == 130
    assert capsys.readouterr().err == ""


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error(capsys):
    assert cli.main([]) == EXIT_USAGE
    captured = capsys.readouterr()
    assert "start here:" in captured.err
    assert captured.out == ""


def test_an_unknown_command_is_a_usage_error(run_farm):
    done = run_farm("upp")
    assert done.returncode == EXIT_USAGE
    assert "upp" in done.stderr


def test_a_reader_that_went_away_ends_the_command_quietly(run_farm):
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    done = run_farm("config", stdout=write_fd)
    os.close(write_fd)
    assert done.returncode == EXIT_OK
    assert done.stderr == ""


def test_the_help_loads_no_command():
    script = (
        "import sys\nfrom farm.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(cli.__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert {"hydra", "numpy", "grpc", "msgspec", "structlog", "rich"}.isdisjoint(loaded)


def test_an_address_that_grpc_rejects_is_one_line_without_a_word_from_its_own_log(run_farm):
    done = run_farm("tail", "ipv4:abc:1")
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("farm: ")


@pytest.mark.parametrize("words", [["config"], ["config", "--keys"], ["config", "--check"]])
def test_an_output_that_takes_nothing_more_is_one_line_and_exit_code_69(run_farm, words):
    with Path("/dev/full").open("w") as full:
        done = run_farm(*words, stdout=full)
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr == "farm: cannot write to standard output: No space left on device\n"


def test_a_closed_output_is_one_line_and_exit_code_69():
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m farm.cli.main config >&-', sys.executable],
        cwd=Path(cli.__file__).resolve().parents[2],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == EXIT_UNAVAILABLE
    assert done.stderr == (
        "farm: standard output is closed; send it to /dev/null if nobody reads it\n"
    )


def test_an_error_of_the_system_that_is_not_about_the_output_is_internal(command, capsys):
    command(raising(ConnectionResetError(104, "what")))
    assert cli.main(["top"]) == EXIT_INTERNAL
    assert "ConnectionResetError" in capsys.readouterr().err
