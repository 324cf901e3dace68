"""`farm set KEY=VALUE`: lay overrides over the config of a running farm, until it stops."""

import argparse
import sys

from farm.cli.reload import ask, show
from farm.errors import EXIT_OK


def run(args: argparse.Namespace) -> int:
    """Ask, and print what came of it.

    Raises:
        ConfigError: it was refused; nothing has changed.
        UnavailableError: there is no such farm.
        FarmError: it does not answer, or a child has not acknowledged the config.
    """
    answer, children = ask(args.instance, tuple(args.overrides), args.deadline, wait=True)
    show(answer, children, as_json=args.json)
    print(
        "This holds until the farm stops. To keep it, give the same to `farm up`, or write it "
        "into a file of its config.",
        file=sys.stderr,
    )
    return EXIT_OK
