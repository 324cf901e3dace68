"""The options of `farm play`, and the help that teaches them."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

POLICIES = ("random", "expander", "hunter")
NOBODY = "none"
AGENTS = ("random", "expander")
"""Agents of farm.client by short names; any other is `module:Class`."""
LOCKSTEP_MS = 0
HUMAN_TICK_MS = 500
"""As the official game has it: a turn of two ticks a second."""
MAX_SEATS = 16
MAX_TICK_MS = 600_000

PLAY_HELP = """\
examples:
  farm up games=on                   in another terminal: a farm with a games host
  farm play --human                  you, on this terminal, against the expander
  farm play --human --opponent hunter --map official --tick-ms 750
  farm play --agent expander --opponent random --games 10
  farm play --agent mybot:Bot --new --board 12x12 --seed 7 --opponent expander --opponent hunter
  farm play --agent mybot:Bot --game 42           a game that somebody else has made
  farm play --human --opponent none               make one and wait for another player
  farm play 10.0.0.5:50051 --agent mybot:Bot --by polling --json

An agent is a class in a module that Python finds from here, made without arguments:

  from farm.client import Agent

  class Bot(Agent):                  # in mybot.py
      def act(self, observation):    # a Move, several in a list, an action index, or None to pass
          moves = observation.moves()
          return max(moves, key=lambda move: observation.army_at(move.start), default=None)

Games of agents are in lockstep unless --tick-ms says otherwise: a tick is played when everybody has
moved or passed. A connection that dies is made again, and the game goes on. An agent that raises
ends the command with its traceback, and its seat surrenders or, by --on-error leave, stays to be
come back to with --seat-token.

Keys of --human: arrows or wasd move the cursor, or an army that space has taken hold of; z takes
half of it with the next move; q forgets what is queued, e the last of it; enter passes (in
lockstep); h goes home; p pauses; x twice surrenders; Ctrl-C leaves the game, which goes on.

exit codes:
  0 the games were played, whoever won    2 usage
  69 no farm answers, it has no games host, or it refuses: the message says why
  70 internal error, of the agent too
"""


def fill_play(parser: argparse.ArgumentParser, address: Callable[[str], str]) -> None:
    """Options of `farm play`.

    Args:
        parser: of the command.
        address: type of an address.
    """
    parser.add_argument(
        "address",
        nargs="?",
        type=address,
        default="127.0.0.1:50051",
        metavar="ADDRESS",
        help="host:port of the farm (default: %(default)s)",
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "--agent", metavar="A", help=f"who plays: {', '.join(AGENTS)}, or module:Class"
    )
    who.add_argument("--human", action="store_true", help="you do, on this terminal")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--game", type=_natural, metavar="ID", help="join this game")
    which.add_argument("--new", action="store_true", help="make a new one (the default)")
    parser.add_argument("--seat", type=_seat, metavar="N", help="take this seat, from 0")
    parser.add_argument(
        "--seat-token", metavar="T", help="with --game: go on with a seat that was left"
    )
    parser.add_argument("--name", metavar="NAME", help="what others see (default: the agent's)")
    parser.add_argument(
        "--by",
        choices=("stream", "polling"),
        default="stream",
        help="how an agent talks to the farm (default: %(default)s)",
    )
    parser.add_argument(
        "--on-error",
        choices=("surrender", "leave"),
        default="surrender",
        help="what becomes of the seat of an agent that raises (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="a JSON line a game")
    _fill_new(parser.add_argument_group("a new game"))


def _fill_new(new: argparse._ArgumentGroup) -> None:
    new.add_argument(
        "--board", type=_board, metavar="HxW", help="rows and columns of a drawn board"
    )
    new.add_argument(
        "--map",
        type=_map,
        metavar="M",
        help="official, 20x20, toy:10x10, or the file of a board (default: official)",
    )
    new.add_argument("--seats", type=_n_seats, metavar="N", help="players, bots among them")
    new.add_argument(
        "--opponent",
        action="append",
        choices=(*POLICIES, NOBODY),
        metavar="P",
        help="bot on the next seat: random, expander or hunter; the last one given plays all that "
        "are left; none leaves them to other players (default: expander)",
    )
    new.add_argument(
        "--tick-ms",
        type=_tick_ms,
        metavar="MS",
        help=f"milliseconds a tick, 0 for lockstep (default: {LOCKSTEP_MS}; {HUMAN_TICK_MS} with "
        "--human)",
    )
    new.add_argument("--seed", type=_natural, metavar="N", help="the same seed, the same game")
    new.add_argument("--no-fog", action="store_true", help="everybody sees everything")
    new.add_argument(
        "--collect", action="store_true", help="give its experiences to the farm's trainers"
    )
    new.add_argument(
        "--games",
        type=_positive,
        default=1,
        metavar="N",
        help="in a row, seeds counting up (default: %(default)s)",
    )


def _board(text: str) -> str:
    if not re.fullmatch(r"\d{1,2}x\d{1,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: rows and columns such as 20x20")
    return text


def _map(text: str) -> str:
    if text == "official" or re.fullmatch(r"(toy:)?\d{1,2}x\d{1,2}", text):
        return text
    try:
        return Path(text).read_text(encoding="utf-8").rstrip("\n") + "\n"
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither official, 20x20 nor toy:10x10, and no file of a board: {error}"
        ) from None


def _natural(text: str) -> int:
    return _within(text, 0, (1 << 64) - 1)


def _positive(text: str) -> int:
    return _within(text, 1, 1_000_000)


def _seat(text: str) -> int:
    return _within(text, 0, MAX_SEATS - 1)


def _n_seats(text: str) -> int:
    return _within(text, 2, MAX_SEATS)


def _tick_ms(text: str) -> int:
    value = _within(text, 0, MAX_TICK_MS)
    if 0 < value < 10:  # noqa: PLR2004 - the host's lower bound, see games.proto
        raise argparse.ArgumentTypeError(f"{value}: 0 for lockstep, or 10 to {MAX_TICK_MS:,}")
    return value


def _within(text: str, low: int, high: int) -> int:
    value = int(text)
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is not in {low} to {high}")
    return value
