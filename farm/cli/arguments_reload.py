"""The options of the commands that change a running farm, and the help that teaches them."""

import argparse
from collections.abc import Callable

REPLY_S = 30.0
"""Time to answer: a farm that still starts answers when it serves."""

RELOAD_HELP = """\
examples:
  farm reload                        read the files again; print what changes, field by field
  farm reload --wait                 and wait until every child has it
  farm reload --instance blue --wait --json

What was given to `farm up` and `farm set` stays on top of the files. SIGHUP to the supervisor does
the same and prints nothing. A config that is refused changes nothing.

exit codes:
  0 done    2 usage    69 there is no such farm    70 a child did not take it
  78 refused: the message names key and reason
"""

SET_HELP = """\
examples:
  farm set worker.count=3            grow or shrink: workers that go finish what they have in hand
  farm set match.seats=[hunter,random] reward=shaped
  farm set serve.max_batch_wait_ms=5 --instance blue

New games begin by the new config, those in progress end by the one that they began with, and each
trajectory says by its epoch which it was. It holds until the farm stops.

exit codes:
  0 done    2 usage    69 there is no such farm    70 a child did not take it
  78 refused: the message names key and reason
"""


def fill_reload(parser: argparse.ArgumentParser) -> None:
    """Options of `farm reload`."""
    parser.add_argument(
        "--wait", action="store_true", help="until every child has acknowledged the config"
    )
    _fill(parser)


def fill_set(parser: argparse.ArgumentParser) -> None:
    """Options of `farm set`."""
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="in the grammar of Hydra")
    _fill(parser)


def _fill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(deadline=REPLY_S)


COMMANDS: tuple[tuple[str, str, str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("reload", "read the config of a running farm again", RELOAD_HELP, fill_reload),
    ("set", "change the config of a running farm", SET_HELP, fill_set),
)
"""Name, summary, help and options."""
