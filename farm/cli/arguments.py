"""The command line: every command and option, and the help that teaches them."""

import argparse
import math
import re
from pathlib import Path

from farm.cli import arguments_reload
from farm.cli.arguments_play import PLAY_HELP, fill_play
from farm.cli.help_texts import (
    AUDIT_HELP,
    BENCH_HELP,
    CONFIG_HELP,
    DRAIN_HELP,
    LOGS_HELP,
    MAIN_HELP,
    REPLAY_HELP,
    TAIL_HELP,
    TOP_HELP,
    UP_HELP,
    WARM_HELP,
)
from farm.config import patterns
from farm.version import __version__

DRAIN_S = 60.0
GROUP = "[a-z0-9_-]{1,32}"
DEFAULT_GROUP = "default"
"""The group of a subscription that names none: `farm.rpc.names` would take longer to load."""


def build_parser() -> argparse.ArgumentParser:
    """The parser; `args.command` is the name of the chosen command, None without one."""
    parser = argparse.ArgumentParser(
        prog="farm",
        description="A simulation farm for generals.io: plays games on every core and serves the "
        "experiences over gRPC.",
        epilog=MAIN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"farm {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_up(commands)
    _add_warm(commands)
    _add_tail(commands)
    _add_top(commands)
    _add_audit(commands)
    _add_drain(commands)
    _add_logs(commands)
    for name, summary, epilog, fill in arguments_reload.COMMANDS:
        running = _add(commands, name, summary, epilog)
        _add_instance(running)
        fill(running)
    _add_config(commands)
    _add_bench(commands)
    _add_replay(commands)
    fill_play(_add(commands, "play", "play a game with an agent, or yourself", PLAY_HELP), _address)
    return parser


def parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse, with overrides anywhere among the options; argparse takes them in one place only."""
    args, rest = parser.parse_known_args(argv)
    options = [word for word in rest if word.startswith("-")]
    if options or (rest and "overrides" not in args):
        parser.error(f"unrecognized arguments: {' '.join(options or rest)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    if args.command == "tail" and args.group and not re.fullmatch(GROUP, args.group):
        # `--group` without a name in front of the address has taken it.
        args.address, args.group = args.group, DEFAULT_GROUP
    return args


_Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _add(
    commands: "_Commands[argparse.ArgumentParser]", name: str, summary: str, epilog: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="see below")


def _add_config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="files of the config, before the packaged ones: a config.yaml, and options of groups; "
        "repeat for more, the first that has a file wins",
    )


def _add_seconds(parser: argparse.ArgumentParser, text: str, default: float | None = None) -> None:
    parser.add_argument("--seconds", type=_seconds, default=default, metavar="S", help=text)


def _add_up(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "up", "start a farm in the foreground", UP_HELP)
    parser.add_argument(
        "--tail", action="store_true", help="start a client too and show what it receives"
    )
    parser.add_argument(
        "--discard",
        action="store_true",
        help="throw away what a farm of this name left in shared memory",
    )
    _add_config_dir(parser)
    _add_seconds(parser, "stop by itself after S seconds of serving (default: run until stopped)")
    _add_overrides(parser)


def _add_warm(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "warm", "compile the kernels before a farm starts", WARM_HELP)
    _add_config_dir(parser)
    _add_overrides(parser)


def _add_tail(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "tail", "show what a farm sends to its clients", TAIL_HELP)
    parser.add_argument(
        "address",
        nargs="?",
        type=_address,
        default="127.0.0.1:50051",
        metavar="ADDRESS",
        help="host:port of the experiences service, or unix:/path (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a second")
    _add_seconds(parser, "stop after S seconds (default: run until stopped)")
    filters = parser.add_argument_group("filters", "what passes every filter given is shown")
    filters.add_argument(
        "--game", type=_natural, action="append", default=[], metavar="ID", help="this game"
    )
    filters.add_argument(
        "--seat", type=_natural, action="append", default=[], metavar="N", help="this seat, from 0"
    )
    filters.add_argument(
        "--min-turn", type=_natural, default=0, metavar="N", help="from this turn of a game on"
    )
    filters.add_argument(
        "--policy", action="append", default=[], metavar="P", help="seats played by this policy"
    )
    parser.add_argument(
        "--group",
        nargs="?",
        type=_group_or_address,
        const=DEFAULT_GROUP,
        metavar="NAME",
        help="join this group (default: %(const)s, that of the trainers) and acknowledge: what "
        "comes here goes to no other member (without --group: look on, and take nothing)",
    )


def _add_top(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "top", "watch the processes of a running farm", TOP_HELP)
    _add_whom(parser)
    parser.add_argument("--once", action="store_true", help="print once and exit")
    parser.add_argument("--json", action="store_true", help="JSON lines")


def _add_whom(parser: argparse.ArgumentParser) -> None:
    """Which farm is looked at: one on this machine by its name, or any by its address."""
    parser.add_argument(
        "address",
        nargs="?",
        type=_address,
        metavar="ADDRESS",
        help="ask the farm at host:port, which may be on another machine, or at unix:/path",
    )
    _add_instance(parser)


def _add_instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--instance",
        type=_instance,
        default="default",
        metavar="NAME",
        help="which farm (default: %(default)s)",
    )


def _add_audit(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "audit", "show where every record of a farm is", AUDIT_HELP)
    _add_whom(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _add_drain(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "drain", "deliver what a farm holds, then stop it", DRAIN_HELP)
    _add_instance(parser)
    parser.add_argument(
        "--deadline",
        type=_seconds,
        default=DRAIN_S,
        metavar="S",
        help="seconds for the trainers to take everything (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="the balance as one JSON object")


def _add_logs(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "logs", "show the log of a farm to a person", LOGS_HELP)
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="file to read, - for standard input (default: that, if anything comes there)",
    )
    parser.add_argument(
        "--journal", type=_unit, metavar="UNIT", help="read the journal of this unit of systemd"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on as lines are logged, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines, as they were logged")
    filters = parser.add_argument_group("filters", "what passes every filter given is shown")
    filters.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="R",
        help="this role, such as rollout, or one child, such as rollout-0; repeat for more",
    )
    filters.add_argument(
        "--level",
        choices=("debug", "info", "warning", "error", "critical"),
        default="debug",
        metavar="L",
        help="from this level on: debug, info, warning, error or critical (default: %(default)s)",
    )
    filters.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="E",
        help="these events; a pattern such as 'child_*' takes several; repeat for more",
    )
    filters.add_argument(
        "--since",
        metavar="T",
        help="from then on: 90s, 10m, 2h or 1d ago, or a time such as 2026-01-31T12:30 in UTC",
    )


def _add_config(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "config", "show or check the config", CONFIG_HELP)
    parser.add_argument("--check", action="store_true", help="validate only")
    parser.add_argument("--keys", action="store_true", help="explain every key")
    _add_config_dir(parser)
    parser.add_argument("--running", action="store_true", help="what is in force in a running farm")
    _add_instance(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    _add_overrides(parser)


def _add_bench(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "bench", "measure this machine", BENCH_HELP)
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to measure; see --list")
    parser.add_argument("--list", action="store_true", help="list the benches")
    _add_seconds(parser, "how long to measure (default: %(default)s)", default=10.0)
    _add_overrides(parser)


def _add_replay(commands: "_Commands[argparse.ArgumentParser]") -> None:
    parser = _add(commands, "replay", "verify, watch or convert recorded games", REPLAY_HELP)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="recorded games, or folders"
    )
    modes = parser.add_argument_group("what to do", "one of these (default: verify, line by line)")
    modes.add_argument(
        "--check", action="store_true", help="verify many: print those that differ, and the sums"
    )
    modes.add_argument("--show", action="store_true", help="draw a game on the terminal")
    modes.add_argument("--tick", type=_natural, metavar="N", help="draw one still, after N ticks")
    modes.add_argument(
        "--import", dest="import_", action="store_true", help="convert to a .replay file; needs -o"
    )
    modes.add_argument(
        "--export-text", action="store_true", help="write a game as text: boards and orders"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="file to write")
    parser.add_argument(
        "--game", metavar="K", help="only the game with this id or place in its file, from 0"
    )
    parser.add_argument(
        "--seat", type=_natural, metavar="N", help="as this seat sees it (default: all-seeing)"
    )
    parser.add_argument(
        "--speed", type=_speed, default=4.0, metavar="R", help="ticks/s to show (default: 4)"
    )
    parser.add_argument(
        "--every",
        type=_positive,
        default=1,
        metavar="N",
        help="ticks between two boards of the text (default: %(default)s)",
    )
    parser.add_argument(
        "--add-hashes",
        action="store_true",
        help="import: hash games that carry no hashes, so that a later build can be compared",
    )


def _address(text: str) -> str:
    port = text.rpartition(":")[2]
    is_one = re.fullmatch(patterns.ADDRESS, text) is not None
    if is_one and patterns.socket_path(text) is None:
        is_one = 0 < int(port) <= patterns.MAX_PORT
    if not is_one:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no host:port, such as 127.0.0.1:50051, and no unix:/path"
        )
    return text


def _group_or_address(text: str) -> str:
    if re.fullmatch(GROUP, text):
        return text
    if ":" in text:
        return _address(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no name of a group: 1 to 32 of a-z, 0-9, - and _"
    )


def _instance(text: str) -> str:
    if not re.fullmatch(patterns.INSTANCE, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a farm: up to 32 of a-z, 0-9 and -, no - in front"
        )
    return text


def _unit(text: str) -> str:
    if not re.fullmatch(r"[\w:.@\\][\w:.@\\-]*", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a unit, such as farm or farm@blue"
        )
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{text} is no positive number of seconds")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


_MAX_SPEED = 1_000
"""Ticks a second beyond which a terminal shows nothing more."""


def _speed(text: str) -> float:
    value = float(text)
    if not (0 < value <= _MAX_SPEED):
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 1000 ticks a second")
    return value
