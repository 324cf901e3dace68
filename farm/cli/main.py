"""`farm COMMAND`: parses the command line, loads the one command that is wanted, maps its end.

Each command is a module `farm.cli.<command>` with `run(args) -> exit code`. Only the chosen one is
imported: `farm --help` answers in a few hundredths of a second although some commands load gRPC.
"""

import argparse
import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import cast

from farm.cli.arguments import build_parser, parse
from farm.errors import EXIT_INTERNAL, EXIT_OK, EXIT_USAGE, FarmError, FileAccessError

CLIENT_COMMANDS = ("tail", "top", "audit", "play")
"""Commands that are clients: they say themselves, in one line, what gRPC's own log says in many."""
WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What write(2) says of an output that takes nothing more; files opened by name say their name, and
commands that write them have an error for it."""
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
        _require_stdout()
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
    except Exception as error:  # noqa: BLE001 - the last resort: the exit code says whose fault it is
        return _end_of(error)
    return code


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    module = importlib.import_module(f"farm.cli.{name}")
    return cast("Callable[[argparse.Namespace], int]", module.run)


def _require_stdout() -> None:
    """A closed descriptor would go to the next file opened, and what is printed into that file."""
    if sys.stdout is None:
        raise FileAccessError("standard output is closed; send it to /dev/null if nobody reads it")


def _say(error: FarmError) -> None:
    line = "; ".join(part.strip() for part in str(error).splitlines() if part.strip())
    print(f"farm: {line}", file=sys.stderr)


def _end_of(error: Exception) -> int:
    """Say what an error is that no command has a name for."""
    if isinstance(error, OSError) and error.errno in WRITE_ERRORS and error.filename is None:
        _forget_stdout()
        _say(FileAccessError(f"cannot write to standard output: {error.strerror}"))
        return FileAccessError.exit_code
    traceback.print_exc()
    return EXIT_INTERNAL


def _forget_stdout() -> None:
    """Keep the interpreter from flushing what cannot be written once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
