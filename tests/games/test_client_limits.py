"""What one client may take of a host: calls, streams, bytes, games; and that it follows reloads."""

import time

import grpc
import msgspec
import pytest
from hosting import RefusedError, pass_rows

from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb

pytestmark = pytest.mark.timeout(300)

RATE = 65_536
"""Bytes a second, the lowest that can be set."""


def refused_by_a_limit(call):
    with pytest.raises(RefusedError) as refused:
        call()
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "LIMIT"
    assert refused.value.detail.retry_after_ms > 0
    return refused.value


def spectated(calls, **fields):
    """A game that bots play, and its spectator's token."""
    fields = {"n_seats": 2, "bots": {0: "random", 1: "random"}, "spectators": True} | fields
    created = calls.create(**fields)
    return created.game_id, created.spectator_token


def test_a_client_at_its_streams_is_told_when_to_try_again_and_may_after_a_reload(host, connect):
    hosting = host(limits={"open_streams": 1})
    calls = connect(hosting)
    game = spectated(calls, tick_ms=1000)
    first = calls.stream(*game)
    next(first)
    error = refused_by_a_limit(lambda: next(calls.stream(*game)))
    assert "limits.open_streams" in error.message
    assert hosting.slot.counter("refused_streams") == 1
    limits = msgspec.structs.replace(hosting.config.limits, open_streams=2)
    hosting.store_config(msgspec.structs.replace(hosting.config, limits=limits), 2)
    hosting.wait(lambda: hosting.slot.config_epoch == 2, "the new config")
    next(calls.stream(*game))


def test_a_flood_of_calls_is_refused_beyond_the_rate(host, connect):
    hosting = host(limits={"calls_per_second": 5})
    calls = connect(hosting)

    def flood():
        for _ in range(50):
            calls.unary(names.LIST_GAMES)

    assert "limits.calls_per_second" in refused_by_a_limit(flood).message


def test_ticks_come_merged_to_who_has_had_its_bytes(host, connect):
    hosting = host(limits={"bytes_per_second_out": RATE})
    calls = connect(hosting)
    # A full state of 24x24 cells has 3.5 kB, and a tick takes 10 ms: far above the rate.
    game = spectated(calls, uniform=pb.UniformMap(height=24, width=24), tick_ms=10)
    began_s = time.monotonic()
    updates = [update for update, _ in zip(calls.stream(*game), range(60), strict=False)]
    took_s = time.monotonic() - began_s
    n_bytes = sum(update.ByteSize() for update in updates)
    assert n_bytes / took_s < 2 * RATE
    assert updates[-1].tick - updates[0].tick > len(updates)
    assert hosting.slot.counter("held_out_ns") > 0


def test_who_sends_more_bytes_than_it_may_is_read_later_and_loses_nothing(host, connect):
    hosting = host(limits={"bytes_per_second_in": RATE})
    calls = connect(hosting)
    created = calls.create(n_seats=2, bots={1: "random"})
    stream = calls.play(created.game_id, calls.join(created.game_id).token)
    next(stream)
    key = "k" * 64
    for _ in range(1000):
        stream.act(key=key)
    stream.half_close()
    assert sum(message.HasField("result") for message in stream) == 1000
    assert hosting.slot.counter("held_in_ns") > 0


def test_games_that_a_stream_makes_count_as_its_clients(host, connect):
    calls = connect(host(games={"max_games_per_client": 3}))
    calls.create()
    create = pb.ManyGames(
        game=pb.CreateGameRequest(n_seats=2, toy=pb.ToyMap(height=5, width=5)),
        n_games=3,
        seats=[0, 1],
    )
    opening = pb.PlayManyRequest(open=pb.PlayManyOpen(create=create))
    error = refused_by_a_limit(lambda: next(calls.talk(names.PLAY_MANY, opening)))
    assert "games.max_games_per_client" in error.message
    create.n_games = 2
    opening = pb.PlayManyRequest(open=pb.PlayManyOpen(create=create))
    stream = calls.talk(names.PLAY_MANY, opening)
    opened = next(stream).opened
    next(stream)
    refused_by_a_limit(calls.create)
    stream.send(pass_rows(opened, range(4)))
    next(stream)
    stream.half_close()
