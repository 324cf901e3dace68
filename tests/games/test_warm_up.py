"""The warm-up of the games hosts is where the supervisor looks for it, and fills the cache."""

import importlib

from farm.games import warm_up
from farm.shm import ring
from farm.supervisor.specs import games_warm_up


def test_the_task_s_target_is_there():
    module, _, function = games_warm_up().target.partition(":")
    assert getattr(importlib.import_module(module), function) is warm_up.main


def test_it_compiles_what_a_host_calls_in_the_ring():
    warm_up.compile_kernels()
    for kernel in (ring.try_claim, ring.publish, ring.drop, ring.next_sequence, ring.unpark):
        assert kernel.signatures
