"""What does not log through `get_logger`: the standard library's loggers, warnings, crashes."""

import logging
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.telemetry.log import Logger

LIBRARY_FLOOR = logging.INFO
"""Libraries never log below this: at debug Numba alone writes thousands of lines a kernel."""

_NAMES = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"))


class Handler(logging.Handler):
    """Passes records of the standard library on as `library_message` events.

    Args:
        logger: where they go.
    """

    def __init__(self, logger: "Logger") -> None:
        super().__init__()
        self._log = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; of one that cannot be formatted, its parts."""
        try:
            message = record.getMessage().rstrip()
        except Exception:  # noqa: BLE001 - a library's own __str__ or format may raise anything
            message = f"{record.msg!s} % {record.args!r}"
        fields: dict[str, object] = {"logger": record.name, "message": message}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        self._log.log(_level_name(record.levelno), "library_message", **fields)


def route(logger: "Logger") -> None:
    """Send the root logger, warnings and uncaught exceptions to `logger` and nowhere else."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, Handler) or type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.addHandler(Handler(logger))
    logging.captureWarnings(capture=True)
    _route_crashes(logger)


def set_level(number: int) -> None:
    """Follow the level of the process."""
    logging.getLogger().setLevel(max(number, LIBRARY_FLOOR))


def _route_crashes(logger: "Logger") -> None:
    def crashed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logger.critical("uncaught_exception", exc_info=(kind, error, trace))

    def thread_crashed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or isinstance(args.exc_value, SystemExit):
            return
        name = args.thread.name if args.thread else None
        logger.critical("uncaught_exception", thread=name, exc_info=args.exc_value)

    def unraisable(args: "sys.UnraisableHookArgs") -> None:
        fields = {"exc_info": args.exc_value} if args.exc_value else {}
        logger.error("unraisable_exception", where=repr(args.object), **fields)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed
    sys.unraisablehook = unraisable


def _level_name(number: int) -> str:
    for least, name in _NAMES:
        if number >= least:
            return name
    return "info" if number >= logging.INFO else "debug"
