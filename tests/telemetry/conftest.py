"""Logging is state of the process: each test here gets it and hands it back as it was."""

import copy
import json
import logging
import sys
import threading
import warnings

import pytest
import structlog

from farm.telemetry import log


@pytest.fixture(autouse=True)
def restored_logging():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    shared, config = copy.copy(vars(log._PROCESS)), structlog.get_config()
    showwarning = warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    vars(log._PROCESS).update(shared)
    structlog.configure(**config)
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture
def lines(capfd):
    """What was logged since the last call, one dict a line."""

    def read():
        return [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    return read
