"""Limits for each client at a games host, and a host on a unix socket."""

import grpc
import pytest
from hosting import RefusedError, farm_config

from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb

pytestmark = pytest.mark.timeout(300)


def test_a_flood_of_calls_is_refused_by_limit_with_the_time_of_the_next_try(host, connect):
    hosting = host(limits={"calls_per_second": 10})
    calls, refused = connect(hosting), []
    for _ in range(60):
        try:
            calls.unary(names.LIST_GAMES)
        except RefusedError as error:
            refused.append(error)
    assert len(refused) > 30
    assert {one.code for one in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {one.reason for one in refused} == {"LIMIT"}
    assert all(1 <= one.detail.retry_after_ms <= 100 for one in refused)
    assert "limits.calls_per_second" in refused[0].message
    assert hosting.slot.counter("refused_rate") == len(refused)


def test_a_flood_of_streams_is_refused_and_new_limits_count_at_once(host, connect, tmp_path):
    hosting = host(limits={"open_streams": 1})
    calls = connect(hosting)
    created = calls.create(spectators=True)
    first = calls.stream(created.game_id, created.spectator_token)
    assert next(first).game_id == created.game_id
    with pytest.raises(RefusedError, match=r"limits\.open_streams"):
        next(calls.stream(created.game_id, created.spectator_token))
    hosting.store_config(farm_config(tmp_path, limits={"open_streams": 2}), 2)
    hosting.wait(lambda: hosting.slot.config_epoch == 2)
    assert next(calls.stream(created.game_id, created.spectator_token))


def test_a_game_is_played_over_a_unix_socket(host, connect, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "g"
    hosting = host(games={"address": f"unix:{path}"})
    assert hosting.address == f"unix:{path}"
    calls = connect(hosting)
    created = calls.create()
    tokens = [calls.join(created.game_id, name).token for name in ("anna", "ben")]
    calls.pass_ticks(created, tokens, 3)
    assert calls.state(created.game_id, tokens[0]).phase == pb.PHASE_RUNNING
    assert hosting.stop_host() == 0
    assert not path.exists()
