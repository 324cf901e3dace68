"""The farm of a bench, started as anyone starts one."""

from farm.bench.running import running_farm
from farm.client import Client
from farm.shm.segment import list_segments


def test_what_the_farm_of_a_bench_owes_goes_with_it():
    with running_farm(["match=tiny", "serve.drain_s=0.2"]) as (instance, address):
        with Client(address) as client, client.subscribe() as subscription:
            next(iter(subscription))
        # The group that this made holds the rings from now on, and nobody takes anything.
        assert list_segments(instance)
    assert list_segments(instance) == []
