import msgspec
import pytest

from farm.config.schema import WorkerConfig
from farm.shm.control import MAX_CHILDREN
from farm.supervisor.specs import (
    MAX_ROLLOUTS,
    Kind,
    children_of,
    last_stage,
    metrics,
    start_order,
    warm_up,
)


@pytest.mark.parametrize("n_workers", [1, 3, MAX_ROLLOUTS])
def test_a_farm_is_one_service_and_its_workers(n_workers):
    names = [spec.name for spec in children_of(n_workers)]
    assert names == ["experiences", *(f"rollout-{index}" for index in range(n_workers))]


def test_names_and_slots_are_unique_and_fit_the_control_block():
    specs = (metrics(), warm_up(), *children_of(MAX_ROLLOUTS))
    assert len({spec.name for spec in specs}) == len(specs)
    assert len({spec.slot for spec in specs}) == len(specs)
    assert max(spec.slot for spec in specs) < MAX_CHILDREN


def test_a_worker_keeps_its_slot_when_the_farm_grows():
    small, large = children_of(1), children_of(5)
    assert large[: len(small)] == small


def test_workers_wait_for_the_warm_up_and_the_service_does_not():
    specs = start_order([*children_of(2), warm_up()])
    assert [spec.name for spec in specs] == ["experiences", "warm-up", "rollout-0", "rollout-1"]
    assert [spec.name for spec in specs if spec.kind is Kind.TASK] == ["warm-up"]


def test_stop_order_is_start_order_backwards():
    left = [metrics(), *children_of(2)]
    stopped = []
    while left:
        stage = last_stage(left)
        stopped.append([spec.name for spec in stage])
        left = [spec for spec in left if spec not in stage]
    assert stopped == [["rollout-0", "rollout-1"], ["experiences"], ["metrics"]]


def test_nothing_has_no_last_stage():
    assert last_stage([]) == []


def test_there_is_a_slot_for_every_worker_that_the_config_allows():
    assert msgspec.convert({"count": MAX_ROLLOUTS}, WorkerConfig).count == MAX_ROLLOUTS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"count": MAX_ROLLOUTS + 1}, WorkerConfig)
