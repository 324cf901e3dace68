"""The files of tools/monitoring, and what a real collector exports."""

import re
from pathlib import Path

import pytest

from farm.bench.scrape import pretended_farm
from farm.config.schema import FarmConfig
from farm.metrics.main import Endpoint
from farm.metrics.request import Request
from farm.metrics.segments import Segments
from farm.shm.control import ControlBlock

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "monitoring"
NAME = re.compile(r"\bfarm_[a-z0-9_]+")


@pytest.fixture(scope="session")
def folder():
    return FOLDER


@pytest.fixture(scope="session")
def names_in():
    """The names of our metrics in an expression; labels and their values are none."""

    def find(expr):
        bare = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", expr))
        return set(NAME.findall(bare))

    return find


@pytest.fixture(scope="session")
def exported():
    """Names of the samples of a page, as a collector writes it that has read a whole farm."""
    name = "test-monitoring"
    with pretended_farm(name, 2, 1):
        control = ControlBlock.attach(name, readonly=True)
        segments = Segments(name)
        segments.unreadable["ring0"] += 1
        endpoint = Endpoint(control, segments, FarmConfig(instance=name))
        endpoint.outcomes = {"ok": 1}
        text = endpoint.answer(Request("/metrics", wants_openmetrics=False)).body.decode()
        segments.close()
        control.close()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {re.split(r"[{ ]", line, maxsplit=1)[0] for line in lines}
