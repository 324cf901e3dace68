import msgspec
import pytest

from farm.config.schema import GamesConfig, WorkerConfig
from farm.shm import groups
from farm.shm.control import MAX_CHILDREN
from farm.supervisor.specs import (
    MAX_HOSTS,
    MAX_ROLLOUTS,
    PRODUCER_ROLES,
    Kind,
    children_of,
    games_warm_up,
    last_stage,
    metrics,
    start_order,
    warm_up,
)


@pytest.mark.parametrize("n_workers", [1, 3, MAX_ROLLOUTS])
def test_a_farm_is_one_service_and_its_workers(n_workers):
    names = [spec.name for spec in children_of(n_workers)]
    assert names == ["experiences", *(f"rollout-{index}" for index in range(n_workers))]


def test_games_hosts_run_where_the_config_asks_for_them():
    names = [spec.name for spec in children_of(2, 3)]
    hosts = ["games-0", "games-1", "games-2"]
    assert names == ["experiences", *hosts, "rollout-0", "rollout-1"]


def test_names_and_slots_are_unique_and_fit_the_control_block():
    tasks = (warm_up(), games_warm_up())
    specs = (metrics(), *tasks, *children_of(MAX_ROLLOUTS, MAX_HOSTS))
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


def test_games_hosts_wait_for_the_warm_ups_which_run_side_by_side():
    specs = start_order([*children_of(1, 1), warm_up(), games_warm_up()])
    names = [spec.name for spec in specs]
    assert names == ["experiences", "warm-up", "warm-up-games", "games-0", "rollout-0"]
    tasks = [spec for spec in specs if spec.kind is Kind.TASK]
    assert len({spec.stage for spec in tasks}) == 1


def test_who_publishes_experiences_stops_before_who_delivers_them():
    left, roles = [metrics(), *children_of(2, 2)], []
    while left:
        stage = last_stage(left)
        roles.append({spec.role for spec in stage})
        left = [spec for spec in left if spec not in stage]
    assert roles == [{"rollout"}, {"games"}, {"experiences"}, {"metrics"}]
    assert {"rollout", "games"} == PRODUCER_ROLES


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


def test_there_is_a_slot_and_a_ring_for_every_games_host_that_the_config_allows():
    assert msgspec.convert({"hosts": MAX_HOSTS}, GamesConfig).hosts == MAX_HOSTS
    assert groups.MAX_HOSTS == MAX_HOSTS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"hosts": MAX_HOSTS + 1}, GamesConfig)
