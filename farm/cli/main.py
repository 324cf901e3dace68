"""`farm COMMAND`: parses the command line, loads the one command that is wanted, maps its end.

Each command is a module `farm.cli.<command>` with `run(args) -> exit code`. Only the chosen one is
imported: `farm --help` answers in a few hundredths of a second although some commands load gRPC.
"""

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import cast

from farm.cli.arguments import build_parser, parse
from farm.errors import EXIT_INTERNAL, EXIT_OK, EXIT_USAGE, FarmError

CLIENT_COMMANDS = ("tail", "top")
"""Commands that are clients: they say themselves, in one line, what gRPC's own log says in many."""
EXIT_INTERRUPTED = 128 + signal.SIGINT
"""What a shell reports of a program that Ctrl-C ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; those of the process if None.

    Returns:
        The exit code: 0, 2 usage, or that of the error (errors.py); 70 for one that is a bug.
    """
    parser = build_parser()
    args = parse(parser, None if argv is None else list(argv))
    if args.command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    if args.command in CLIENT_COMMANDS:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when gRPC is loaded
    try:
        code = _command(args.command)(args)
        sys.stdout.flush()  # here, where a reader that went away is still handled
    except FarmError as error:
        _say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return EXIT_OK
    except Exception:  # noqa: BLE001 - the last resort: whatever it is, the exit code says whose fault
        traceback.print_exc()
        return EXIT_INTERNAL
    return code


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    module = importlib.import_module(f"farm.cli.{name}")
    return cast("Callable[[argparse.Namespace], int]", module.run)


def _say(error: FarmError) -> None:
    line = "; ".join(part.strip() for part in str(error).splitlines() if part.strip())
    print(f"farm: {line}", file=sys.stderr)


def _forget_stdout() -> None:
    """Keep the interpreter from flushing into the closed pipe once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
