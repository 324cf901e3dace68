"""A farm whose games hosts are stand-ins: python stand_ins.py OVERRIDE…, else as `farm up`.

A stand-in binds its address late, publishes a record, and another three once it is told to stop:
what the rest of the farm has to do with a host, and no game.
"""

import socket
import sys
import time

from handmade import Spec, record
from msgspec.structs import replace

from farm.shm.control import ChildState
from farm.shm.groups import FIRST_HOST_RING
from farm.shm.ring import RingProducer, next_sequence
from farm.shm.ring_layout import attach_ring
from farm.supervisor import specs

BIND_S = 1.0
BEAT_S = 0.02
N_LAST = 3


def games_warm_up(ctx):
    ctx.log.info("stand_in_warm_up")
    return 0


def games_host(ctx):
    ring = FIRST_HOST_RING + ctx.index
    with attach_ring(ctx.instance, ring) as segment:
        producer = RingProducer(segment, ctx.generation)
        ctx.slot.state = ChildState.READY  # before it listens: the farm has to look for itself
        _beat(ctx, until_s=time.monotonic() + BIND_S)
        with _listen(ctx.config.games.addresses[ctx.index]) as server:
            ctx.control.set_game_address(ctx.index, f"127.0.0.1:{server.getsockname()[1]}")
            _publish(ctx, producer, ring, 1)
            ctx.log.info("stand_in_serving", address=ctx.control.game_addresses[ctx.index])
            _beat(ctx)
        _publish(ctx, producer, ring, N_LAST)
        del producer
    return 0


def _listen(address):
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


def _beat(ctx, until_s=float("inf")):
    while not ctx.stopping and time.monotonic() < until_s:
        ctx.slot.beat(time.monotonic_ns())
        ctx.slot.set("games_open", 1)
        ctx.slot.set("seats_connected", 2)
        ctx.slot.add("actions_accepted", 1)
        ctx.slot.observe("action_latency_us", 300)
        if ctx.try_follow():
            ctx.acknowledge()
        time.sleep(BEAT_S)


def _publish(ctx, producer, ring, n_records):
    for _ in range(n_records):
        number = int(next_sequence(producer.cursor))
        spec = Spec(sequence=number, worker=ring, generation=ctx.generation, policy="guest")
        payload = record(spec)
        producer.try_claim(len(payload), spec.n_steps)[:] = payload
    producer.publish()
    ctx.data_bell.ring()


def _standing_in(spec, target):
    return replace(spec, target=f"stand_ins:{target}")


def main():
    from farm import app  # noqa: PLC0415 - children import this module too, and need none of it
    from farm.cli.main import main as farm  # noqa: PLC0415

    def children_of(*counts):
        return tuple(
            _standing_in(spec, "games_host") if spec.role == specs.GAMES_ROLE else spec
            for spec in specs.children_of(*counts)
        )

    app.children_of = children_of
    app.games_warm_up = lambda: _standing_in(specs.games_warm_up(), "games_warm_up")
    return farm(["up", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
