"""The real experiences service on real rings, as a thread of the test's own process."""

import threading
import time

import msgspec
from handmade import HandMadeRing

from farm.config.schema import FarmConfig
from farm.serve import main as serve_main
from farm.shm.control import ChildState, ControlBlock
from farm.shm.groups import SUBMITTED_RING, create_groups
from farm.shm.ring_layout import create_ring
from farm.shm.wake import Doorbell
from farm.supervisor.child import ChildContext
from farm.telemetry.log import get_logger

DEADLINE_S = 30.0
RUN_ID = 4711


def farm_config(n_rings=1, *, start_s=5.0, takes_in=False, security=None, limits=None, **serve):
    """A config whose service takes a free port and does not wait long."""
    serve = {"address": "127.0.0.1:0", "max_batch_wait_ms": 5.0, "drain_s": 0.2, **serve}
    tree = {
        "match": {"seats": ["expander", "random"]},
        "worker": {"count": n_rings},
        "ring": {} if takes_in else {"submitted_bytes": 0},
        "serve": serve,
        "supervisor": {"start_s": start_s},
        "telemetry": {},
        "security": security or {},
        "limits": limits or {},
        "instance": "test",
        "seed": 7,
    }
    return msgspec.convert(tree, FarmConfig)


class Serving:
    """A service that runs until `stop`.

    Attributes:
        rings: hand-made, one a worker; write to them.
        groups: the groups segment.
        slot: the service's slot in the control block.

    Args:
        takes_in: whether there is a ring for submitted trajectories.
    """

    def __init__(self, instance, *, n_rings=1, capacity_bytes=1 << 20, takes_in=False, **serve):
        self.instance = instance
        self.config = farm_config(n_rings, takes_in=takes_in, **serve)
        self.control = ControlBlock.create(instance, 1 + n_rings, seed=7)
        self.slot = self.control.children[0]
        self.slot.assign("experiences", "experiences", 0)
        for worker in range(n_rings):
            self.control.children[1 + worker].assign(f"rollout-{worker}", "rollout", worker)
        self.store_config(self.config, 1)
        self.data_bell = Doorbell.create()
        self.space_bells = [Doorbell.create() for _ in range(n_rings)]
        self.groups = create_groups(
            instance, run_id=RUN_ID, capacity=capacity_bytes, n_rings=n_rings
        )
        self.submitted = create_ring(instance, SUBMITTED_RING, capacity_bytes) if takes_in else None
        self.rings = [HandMadeRing(instance, worker, capacity_bytes) for worker in range(n_rings)]
        self.result = None
        self.start()

    def start(self):
        """Start the service; also again, after `stop_service`, as a replacement would."""
        self.slot.state = ChildState.STARTING
        self.slot.config_epoch = 1
        self.context = ChildContext(
            instance=self.instance,
            name="experiences",
            role="experiences",
            index=0,
            generation=1,
            config=self.config,
            seed=7,
            control=self.control,
            slot=self.slot,
            log=get_logger(),
            data_bell=self.data_bell,
            space_bells=self.space_bells,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self.result = serve_main.main(self.context)
        except BaseException as error:
            self.result = error
            raise

    @property
    def address(self):
        """Where the service listens, once it is ready."""
        self.wait(lambda: self.slot.state == ChildState.READY, "the service to be ready")
        return self.control.address

    @property
    def ring(self):
        return self.rings[0]

    def store_config(self, config, epoch):
        self.control.store_config(epoch, msgspec.json.encode(config))

    def counter(self, name):
        return self.slot.counter(name)

    def wait(self, condition, what="the condition"):
        """Look until the condition holds."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < deadline_s, f"{what} did not come"
            assert self._thread.is_alive(), f"the service ended: {self.result!r}"
            time.sleep(0.002)
        return value

    def stop_service(self):
        """Stop as on SIGTERM; the exit code, or the error."""
        self.context.stopping = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the service does not stop"
        return self.result

    def close(self):
        self.stop_service()
        for ring in self.rings:
            ring.close()
        self.groups.close()
        if self.submitted:
            self.submitted.close()
        self.control.unlink()
        self.control.close()
        for bell in (self.data_bell, *self.space_bells):
            bell.close()
