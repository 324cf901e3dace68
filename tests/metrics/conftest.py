"""A farm's shared memory as `farm bench metrics_scrape` makes it, and the endpoint on it."""

import contextlib

import pytest

from farm.bench.scrape import pretended_farm
from farm.config.schema import FarmConfig
from farm.metrics.main import Endpoint
from farm.metrics.request import Request
from farm.metrics.segments import Segments
from farm.shm.control import ControlBlock


class Farm:
    """The control block to write to, and what the endpoint says of it.

    Attributes:
        control: writable, as the supervisor and every child have it.
        endpoint: on mappings of its own.
    """

    def __init__(self, control):
        self.control = control
        self.instance = control.instance
        self._read = ControlBlock.attach(control.instance, readonly=True)
        self.segments = Segments(control.instance)
        config = FarmConfig(instance=control.instance)
        self.endpoint = Endpoint(self._read, self.segments, config, fresh_ns=0)

    def child(self, name):
        return next(slot for slot in self.control.children if slot.name == name)

    def get(self, path, *, openmetrics=False):
        return self.endpoint.answer(Request(path, openmetrics))

    def text(self, *, openmetrics=False):
        return self.get("/metrics", openmetrics=openmetrics).body.decode()

    def samples(self):
        """The page as {'name{label="value",...}': number}."""
        lines = [line for line in self.text().splitlines() if not line.startswith("#")]
        return {head: float(value) for head, _, value in (one.rpartition(" ") for one in lines)}

    def close(self):
        self.segments.close()
        self._read.close()


@pytest.fixture
def pretend(instance):
    """Makes a farm of so many workers and groups, once a test."""
    with contextlib.ExitStack() as stack:

        def start(n_workers=2, n_groups=1):
            made = Farm(stack.enter_context(pretended_farm(instance, n_workers, n_groups)))
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def farm(pretend):
    return pretend()
