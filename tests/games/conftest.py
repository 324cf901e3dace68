"""Hosts for these tests."""

import uuid
from pathlib import Path

import pytest
from hosting import Calls, Hosting


def _hoster(folder):
    """Starts hosts and sees to it that none outlives the scope."""
    started = []

    def start(**sections):
        instance = f"test-{uuid.uuid4().hex[:10]}"
        started.append(Hosting(instance, folder / instance, **sections))
        return started[-1]

    yield start
    for hosting in started:
        hosting.close()
        for path in Path("/dev/shm").glob(f"farm-{hosting.instance}-*"):
            path.unlink(missing_ok=True)


@pytest.fixture
def host(tmp_path):
    """Starts a host with these sections of a config."""
    yield from _hoster(tmp_path)


@pytest.fixture(scope="module")
def _shared_hosting(tmp_path_factory):
    starter = _hoster(tmp_path_factory.mktemp("journals"))
    yield next(starter)()
    next(starter, None)


@pytest.fixture(scope="module")
def shared(_shared_hosting):
    """Calls to a host with the usual config, which the tests of a module share."""
    calls = Calls(_shared_hosting.address)
    calls.hosting = _shared_hosting
    yield calls
    calls.close()


@pytest.fixture
def connect():
    """Calls to a host, on a connection of their own."""
    opened = []

    def to(hosting, token=None):
        opened.append(Calls(hosting.address, token))
        opened[-1].hosting = hosting
        return opened[-1]

    yield to
    for calls in opened:
        calls.close()
