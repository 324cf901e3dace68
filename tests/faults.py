"""Faults for a farm at work, in an order that a seed decides; and what each may and may not cost.

A real farm of two workers, and two groups that each get everything: `alpha` has two members, `beta`
one, behind a proxy (tcp_proxy.py). Members are witnesses (witness.py): processes that write down
what they are given before they acknowledge it. What they wrote is put together for each group
(accounts.py) and compared with what the farm says of itself.

    fault          what happens                            allowed after it
    kill_worker    SIGKILL of a worker                     its generation + 1; what it had claimed
                                                           and not published counts as aborted
    stop_worker    SIGSTOP of a worker, for good           likewise, once its silence is noticed
    pause_worker   SIGSTOP, and SIGCONT a moment later     nothing
    kill_service   SIGKILL of the experiences service      what was handed out comes again, marked
    stop_service   SIGSTOP of it, for good                 likewise, once its silence is noticed
    kill_client    SIGKILL of a member                     what it had comes again, marked
    stop_client    SIGSTOP of a member, until it is cut    likewise; back, it is a member again
    slow_client    a third member that takes one message   nothing; what it had not acknowledged
                   a second, then is killed                comes again, marked
    vanish         a member is killed and the network      what it had comes again, marked, after
                   does not say so                         `serve.client_timeout_s` at the latest;
                                                           until then it counts as a second member,
                                                           so that this may come out of order
    cut_network    every connection is reset, and for a    what was on its way comes again, marked;
                   moment refused                          the member connects again by itself, for
                                                           a moment as a second one, as above
    hold_network   a cable is pulled for a moment          nothing, or as above if it took too long
    slow_network   every piece arrives later for a moment  nothing
    kill_farm      SIGKILL of the supervisor, and of       all of the above, in one; sequences go on
                   everyone with it; a new start           where they were, generations go up

    forbidden after any of them: a record that fails its checksum; a sequence that a group has not
    seen and nobody counted; a record that came twice without a mark; two records under one name;
    parts of a seat's game out of order for a sole member; a balance that does not add up, in
    records or in experiences; records that count as aborted though no worker has died; a farm that
    gives up.

`schedule` is pure: the same seed is the same faults in the same order. What the processes are at
when a fault meets them is for the machine to decide.
"""

import contextlib
import random
import signal
import time
from dataclasses import dataclass

from accounts import Account
from faulty_farm import Farm, Witness, wait_until
from tcp_proxy import TcpProxy

from farm.cli.audit import audit_instance
from farm.client import NO_RETRY, Client
from farm.errors import ClientError

KINDS = (
    "kill_worker",
    "kill_service",
    "kill_client",
    "cut_network",
    "pause_worker",
    "stop_client",
    "slow_client",
    "hold_network",
    "slow_network",
    "vanish",
    "stop_service",
    "stop_worker",
    "kill_farm",
)
GROUPS = "serve.groups={alpha: lossless, beta: lossless}"
"""Declared, they have a right to everything from the first record on."""
PAUSE_S = 0.02
"""Between two messages of a witness: what it takes to leave some processor to everyone else."""


@dataclass(frozen=True)
class Step:
    """One fault."""

    kind: str
    target: int
    """Which worker or member, for the faults that have a choice."""
    hold_s: float
    """How long a moment is, for the faults that last one."""


def schedule(seed, n):
    """`n` faults: every kind in a random order, then every kind again."""
    rng = random.Random(seed)
    kinds = []
    while len(kinds) < n:
        kinds += rng.sample(KINDS, len(KINDS))
    return [Step(kind, rng.randrange(2), rng.uniform(0.2, 0.8)) for kind in kinds[:n]]


class World:
    """A farm, its two groups, and what is known of them.

    Attributes:
        farm: the farm.
        accounts: by group.
        witnesses: by member.

    Args:
        instance: name of the farm.
        folder: for its log and the files of the witnesses.
        overrides: of its config.
    """

    GROUP_OF = {"a0": "alpha", "a1": "alpha", "a2": "alpha", "b0": "beta"}  # noqa: RUF012

    def __init__(self, instance, folder, *overrides, pause_s=PAUSE_S):
        self.folder = folder
        self.farm = Farm(instance, folder, GROUPS, *overrides)
        self.proxy = TcpProxy(self.farm.address)
        self.accounts = {"alpha": Account(), "beta": Account(is_ordered=True)}
        self.witnesses = {}
        self._pause_s = pause_s
        self._n_lives = 0
        self._aborted = {}

    def start(self):
        """Everything runs, and has got something."""
        self.farm.start()
        for name in ("a0", "a1", "b0"):
            self.call(name)
        for name in ("a0", "a1", "b0"):
            self.wait_for_more(name)

    def call(self, name, *options):
        """Start a member; what it writes is taken into account from now on."""
        group = self.GROUP_OF[name]
        address = self.proxy.address if group == "beta" else self.farm.address
        path = self.folder / f"{name}-{self._n_lives}.bin"
        self._n_lives += 1
        options = options or ("--pause-s", self._pause_s)
        self.witnesses[name] = Witness(address, group, path, *options)
        self.accounts[group].follow(path)
        return self.witnesses[name]

    def wait_for_more(self, name):
        """Wait until a member has got something that it does not have yet."""
        witness = self.witnesses[name]
        before = witness.n_bytes
        wait_until(
            lambda: witness.n_bytes > before,
            lambda: f"anything more for {name}\n{self.farm.tail_of_log()}",
        )

    def members(self, group):
        """Members that the farm counts in a group."""
        with Client(self.farm.address, retry=NO_RETRY) as client:
            stats = client.stats()
        return {row.name: row.members for row in stats.groups}.get(group, 0)

    def balance(self):
        """The farm's balance, once it adds up."""
        found = []

        def adds_up():
            with contextlib.suppress(ClientError), Client(self.farm.address) as client:
                found[:] = [client.balance()]
                return not differences(found[0])
            return False

        wait_until(adds_up, lambda: f"a balance that adds up; {list(map(differences, found))}")
        return found[0]

    def check(self):
        """Nothing forbidden has happened; every group gets all that there is by now."""
        balance = self.balance()
        given = {}
        for ring in balance.rings:
            assert ring.n_dropped == 0, ring
            given[ring.worker] = ring.published.records
        generations = {n: c["generation"] for n, c in self.farm.children().items()}
        for ring in balance.rings:
            self._check_aborted(ring, generations.get(f"rollout-{ring.worker}"))
        for group, account in self.accounts.items():
            wait_until(
                lambda account=account: account.update().has_all(given),
                lambda group=group, account=account: (
                    f"all for {group}; it lacks {account.holes(given)} of {given}\n"
                    f"{self.farm.tail_of_log()}"
                ),
            )
            assert not account.violations, (group, account.violations[:3])
            account.had_ghost = False
        return balance

    def finish(self):
        """Stop the farm, which delivers what is left; its members see its end."""
        assert self.farm.stop() == 0, self.farm.tail_of_log()
        for account in self.accounts.values():
            account.update()
            assert not account.violations, account.violations[:3]

    def close(self):
        """Leave nothing."""
        for witness in self.witnesses.values():
            with contextlib.suppress(ProcessLookupError):
                witness.process.kill()
            witness.process.wait()
        self.proxy.close()
        self.farm.clean_up()

    def apply(self, step):
        """Do it, and wait until it is over: whoever was meant to come back is back."""
        getattr(self, f"_{step.kind}")(step)

    def _check_aborted(self, ring, generation):
        before = self._aborted.get(ring.worker)
        if before is not None and before[0] == generation:
            assert ring.aborted == before[1], f"aborted without a death: {ring}"
        self._aborted[ring.worker] = (generation, ring.aborted)

    def _kill_worker(self, step):
        self._end_child(f"rollout-{step.target}", signal.SIGKILL)

    def _stop_worker(self, step):
        self._end_child(f"rollout-{step.target}", signal.SIGSTOP)

    def _kill_service(self, _step):
        self._end_child("experiences", signal.SIGKILL)

    def _stop_service(self, _step):
        self._end_child("experiences", signal.SIGSTOP)

    def _end_child(self, name, number):
        self.farm.wait_replaced(name, self.farm.signal_child(name, number))

    def _pause_worker(self, step):
        name = f"rollout-{step.target}"
        self.farm.signal_child(name, signal.SIGSTOP)
        time.sleep(step.hold_s)
        with contextlib.suppress(ProcessLookupError):
            self.farm.signal_child(name, signal.SIGCONT)

    def _kill_client(self, step):
        name = ("a0", "b0")[step.target]
        self.witnesses[name].kill()
        self.call(name)
        self.wait_for_more(name)

    def _stop_client(self, step):
        witness = self.witnesses[f"a{step.target}"]
        wait_until(lambda: self.members("alpha") == 2, "both members of alpha")
        witness.send(signal.SIGSTOP)
        try:
            wait_until(lambda: self.members("alpha") == 1, "the cut of a stopped member")
        finally:
            witness.send(signal.SIGCONT)
        self.wait_for_more(f"a{step.target}")

    def _slow_client(self, _step):
        witness = self.call("a2", "--pause-s", "1")
        self.wait_for_more("a2")
        self.wait_for_more("a2")
        witness.kill()
        del self.witnesses["a2"]

    def _vanish(self, _step):
        self.accounts["beta"].had_ghost = True
        self.proxy.hold()
        self.witnesses["b0"].kill()
        self.proxy.forget()
        self.proxy.flow()
        self.call("b0")
        self.wait_for_more("b0")
        wait_until(lambda: self.members("beta") == 1, "the end of who vanished")

    def _cut_network(self, step):
        self.accounts["beta"].had_ghost = True
        self.proxy.down()
        time.sleep(step.hold_s)
        self.proxy.up()
        self.wait_for_more("b0")
        wait_until(lambda: self.members("beta") == 1, "the end of the connection that was cut")

    def _hold_network(self, step):
        self.proxy.hold()
        time.sleep(step.hold_s)
        self.proxy.flow()
        self.wait_for_more("b0")

    def _slow_network(self, step):
        self.proxy.delay_s = 0.1
        time.sleep(step.hold_s)
        self.wait_for_more("b0")
        self.proxy.delay_s = 0.0

    def _kill_farm(self, _step):
        self.farm.kill()
        dead = audit_instance(self.farm.instance)
        assert dead.exact, dead
        assert not dead.running
        self.farm.start()
        for name in ("a0", "a1", "b0"):
            self.wait_for_more(name)


def differences(balance):
    """What does not add up, in words."""
    found = [] if balance.exact else ["the farm says so itself"]
    for ring in balance.rings:
        used = sum(ring.dropped.values(), ring.published) + ring.aborted
        if used != ring.claimed:
            found.append(f"ring {ring.worker}: claimed {ring.claimed}, accounted {used}")
        for row in ring.groups:
            if row.accounted != ring.published:
                parts = f"published {ring.published}, accounted {row.accounted}"
                found.append(f"ring {ring.worker}, {row.group}: {parts}")
    return found
