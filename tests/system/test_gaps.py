"""Farms that may leave records out: every gap that a client sees is one that its farm counts."""

import contextlib
import signal
import threading

import pytest
from faulty_farm import N_WORKERS, Farm, wait_until

from farm.client import NO_RETRY, Client
from farm.errors import ClientError

pytestmark = pytest.mark.timeout(180)

SLOWLY_S = 0.05
"""Between two messages, for long enough that something is left out."""
MANY = 200
"""Records left out of each ring before the workers are stopped."""


class Reader:
    """The sole member of a group, in a thread: slow, until it is told to be quick."""

    def __init__(self, client, **options):
        self.quick = threading.Event()
        self.subscription = client.subscribe(**options)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with contextlib.suppress(ClientError):  # its farm is gone
            for trajectories in self.subscription.batches(1 << 20, partial=True):
                for trajectory in trajectories:
                    trajectory.verify()
                self.quick.wait(SLOWLY_S)

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def farm_of(instance, tmp_path):
    """A farm with this policy of its rings; its workers may be stopped without being replaced."""
    farms = []

    def start(*overrides):
        farms.append(Farm(instance, tmp_path, "supervisor.silence_s=600", *overrides))
        farms[0].start()
        return farms[0]

    yield start
    for farm in farms:
        farm.clean_up()


@pytest.mark.parametrize(
    ("when_full", "policy"),
    [
        ("drop_newest", "lossless"),
        ("sample", "lossless"),
        ("block", "latest"),
        ("block", "sample:0.3"),
        ("drop_newest", "sample:0.3"),
    ],
)
def test_the_gaps_of_a_client_are_what_its_farm_has_dropped_and_passed(farm_of, when_full, policy):
    farm = farm_of(f"ring.when_full={when_full}", f"serve.groups={{slow: '{policy}'}}")
    with Client(farm.address, retry=NO_RETRY) as client:
        reader = Reader(client, group="slow")

        def left_out():
            gaps = reader.subscription.gaps(client.balance())[:N_WORKERS]
            return all(gap.dropped + gap.left_out >= MANY for gap in gaps)

        wait_until(left_out, "enough that is left out")
        for worker in range(N_WORKERS):
            farm.signal_child(f"rollout-{worker}", signal.SIGSTOP)
        reader.quick.set()

        def at_rest():
            gaps = reader.subscription.gaps(client.balance())
            return gaps if all(gap.waiting == 0 for gap in gaps) else None

        gaps = wait_until(at_rest, "the end of what is there")
        assert client.balance().exact
        received = reader.subscription.received
        farm.clean_up()
        reader.join()
    assert received.duplicates == 0
    for gap in gaps:
        assert gap.is_explained, gap
        # A group that passes over records does so with those that a member still has, too.
        if policy == "lossless":
            assert (gap.missing, gap.left_out, gap.lost) == (gap.dropped, 0, 0)
        if when_full == "block":
            assert gap.dropped == 0
