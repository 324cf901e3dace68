"""A client that takes everything of a farm that is reloaded, and the commands that do that."""

import subprocess
import sys
import threading
from itertools import chain

from farm.client import Client, Retry
from farm.errors import FarmError


class Reader:
    """Takes and verifies everything, and notes what came of which worker and config.

    Args:
        address: of the farm.
        at_once: trajectories that it collects before it acknowledges any.
        deadline_s: after so long without a service it gives up.
        options: of the subscription.
    """

    def __init__(self, address, at_once=1, deadline_s=5.0, **options):
        self.seen = {}
        self.epochs = {}
        self.connections = 0
        self.end = None
        self._client = Client(address, retry=Retry(ceiling_s=0.2, deadline_s=deadline_s))
        self._stream = self._client.subscribe(**options)
        self._at_once = at_once
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            taken = self._stream.batches(self._at_once)
            for one in chain.from_iterable(taken) if self._at_once > 1 else self._stream:
                one.verify()
                self.seen.setdefault(one.worker, []).append(one.sequence)
                facts = self.epochs.setdefault(one.config_epoch, set())
                if one.n_steps > 1:  # the last step is worth more than itself
                    facts.add((one.policy, bool(one.reward[0] == -0.5)))
                self.connections = max(self.connections, self._stream.received.connections)
        except FarmError as error:
            self.end = error

    def close(self):
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._client.close()


def farm(*arguments, code=0):
    """Run a command of the farm; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr
