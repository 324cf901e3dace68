"""The host as a child of the farm: readiness, heartbeat, config, tokens, and how it stops."""

import hashlib
import time

import grpc
import msgspec
import pytest
from hosting import Calls, RefusedError

from farm.errors import EXIT_OK
from farm.games import register
from farm.rpc import names
from farm.rpc.v1 import games_pb2 as pb
from farm.shm.control import ChildState
from farm.spec.observation import frame_bytes

pytestmark = pytest.mark.timeout(300)

Code = grpc.StatusCode
BOARD = """
G0 . . . .
.  . . . .
.  . . . .
.  . . . .
.  . . . G1
"""


def test_a_host_says_where_it_listens_once_it_serves(host, connect):
    hosting = host()
    assert hosting.control.game_addresses[0] in {"", hosting.address}
    connect(hosting).create()
    assert hosting.slot.state == ChildState.READY


def test_the_heart_beats_whether_or_not_anybody_plays(host):
    hosting = host()
    assert hosting.address
    for _ in range(3):
        seen_ns = hosting.slot.heartbeat_ns
        began_s = time.monotonic()
        hosting.wait(lambda seen_ns=seen_ns: hosting.slot.heartbeat_ns > seen_ns, "a heartbeat")
        assert time.monotonic() - began_s < 1


def test_a_changed_config_counts_for_what_comes_after(host, connect):
    hosting = host(games={"max_games_per_client": 1})
    calls = connect(hosting)
    calls.create()
    with pytest.raises(RefusedError):
        calls.create()
    games = msgspec.structs.replace(hosting.config.games, max_games_per_client=2)
    hosting.store_config(msgspec.structs.replace(hosting.config, games=games), 2)
    hosting.wait(lambda: hosting.slot.config_epoch == 2, "the new config")
    calls.create()


def test_streams_are_told_when_the_host_stops(host, connect):
    hosting = host()
    calls = connect(hosting)
    created = calls.create(board=BOARD, spectators=True)
    anna = calls.join(created.game_id).token
    calls.join(created.game_id)
    streams = [
        calls.stream(created.game_id, created.spectator_token),
        calls.play(created.game_id, anna),
    ]
    for stream in streams:
        next(stream)
    path = names.method_path(names.GET_GAME_STATE, names.GAME_SERVICE)
    request = pb.GetGameStateRequest(
        game_id=created.game_id, token=anna, after_tick=100, wait_ms=30_000
    )
    polling = calls.channel.unary_unary(path).future(request.SerializeToString(), timeout=30)
    hosting.wait(lambda: hosting.slot.counter("streams") >= 2, "the streams")
    time.sleep(0.1)
    began_s = time.monotonic()
    assert hosting.stop_host() == EXIT_OK
    assert time.monotonic() - began_s < 5
    for stream in streams:
        with pytest.raises(RefusedError) as refused:
            list(stream)
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    assert polling.code() is grpc.StatusCode.UNAVAILABLE


def test_games_go_on_where_they_were_when_the_host_is_replaced(host, connect):
    hosting = host()
    calls = connect(hosting)
    created = calls.create(board=BOARD, spectators=True)
    anna, bob = (calls.join(created.game_id, name).token for name in ("anna", "bob"))
    lobby = calls.create(name="waits")
    for _ in range(3):
        for token in (anna, bob):
            calls.submit(created.game_id, token)
    first = calls.submit(created.game_id, anna, (0, 5), key="mine")
    before = [calls.state(created.game_id, token) for token in (anna, created.spectator_token)]
    hosting.stop_host()
    hosting.start()
    again = connect(hosting)
    after = [again.state(created.game_id, token) for token in (anna, created.spectator_token)]
    assert after == before
    assert again.submit(created.game_id, anna, (0, 5), key="mine") == first
    again.submit(created.game_id, bob)
    assert again.state(created.game_id, anna, after_tick=3, wait_ms=10_000).tick == 4
    assert again.join(lobby.game_id).game.name == "waits"


def line(role):
    return f"{role}-1 {role} {hashlib.sha256(f'{role}-token'.encode()).hexdigest()}\n"


def test_tokens_of_the_farm_say_who_lists_and_who_plays(host, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(map(line, ("observe", "play", "train", "admin"))))
    tokens.chmod(0o600)
    hosting = host(security={"tokens_file": str(tokens)})
    told = {}
    with grpc.insecure_channel(hosting.address) as channel:
        for method in (names.LIST_GAMES, names.CREATE_GAME, names.GET_GAME_STATE):
            call = channel.unary_unary(names.method_path(method, names.GAME_SERVICE))
            for role in ("observe", "play", "train", "admin", "wrong"):
                metadata = (("authorization", f"Bearer {role}-token"),)
                try:
                    call(b"", metadata=metadata, timeout=10)
                    told[method, role] = "OK"
                except grpc.RpcError as error:
                    told[method, role] = error.code().name
    assert {role: told[names.LIST_GAMES, role] for role in ("observe", "play", "train")} == {
        "observe": "OK",
        "play": "OK",
        "train": "OK",
    }
    for method, passed in (
        (names.CREATE_GAME, "INVALID_ARGUMENT"),
        (names.GET_GAME_STATE, "NOT_FOUND"),
    ):
        assert [told[method, role] for role in ("observe", "play", "train", "admin", "wrong")] == [
            "PERMISSION_DENIED",
            passed,
            "PERMISSION_DENIED",
            passed,
            "UNAUTHENTICATED",
        ]


def test_each_holder_of_a_token_is_a_client_with_games_of_its_own(host, tmp_path):
    pytest.importorskip("farm.serve.limits")  # it tells clients apart by their tokens
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(map(line, ("play", "admin"))))
    tokens.chmod(0o600)
    hosting = host(security={"tokens_file": str(tokens)}, games={"max_games_per_client": 1})
    request = pb.CreateGameRequest(n_seats=2, toy=pb.ToyMap(height=5, width=5)).SerializeToString()
    told = []
    with grpc.insecure_channel(hosting.address) as channel:
        call = channel.unary_unary(names.method_path(names.CREATE_GAME, names.GAME_SERVICE))
        for role in ("play", "admin", "play"):
            try:
                call(request, metadata=(("authorization", f"Bearer {role}-token"),), timeout=10)
                told.append("OK")
            except grpc.RpcError as error:
                told.append(error.code().name)
    assert told == ["OK", "OK", "RESOURCE_EXHAUSTED"]


def test_a_client_at_a_limit_is_refused_until_the_running_host_allows_more(host, connect):
    hosting = host(limits={"open_streams": 2})
    calls = connect(hosting)
    created = calls.create()
    anna = calls.join(created.game_id).token
    streams = [calls.stream(created.game_id, anna) for _ in range(2)]
    for stream in streams:
        next(stream)
    for _ in range(5):
        with pytest.raises(RefusedError) as caught:
            next(calls.stream(created.game_id, anna))
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "LIMIT")
    assert hosting.slot.counter("refused_streams") == 5
    assert calls.state(created.game_id, anna).phase == pb.PHASE_LOBBY
    more = msgspec.structs.replace(hosting.config.limits, open_streams=3)
    hosting.store_config(msgspec.structs.replace(hosting.config, limits=more), 2)
    hosting.wait(lambda: hosting.slot.config_epoch == 2, "the config")
    streams.append(calls.stream(created.game_id, anna))
    assert next(streams[-1]).phase == pb.PHASE_LOBBY
    for stream in streams:
        stream.call.cancel()


def make_certificate(tmp_path):
    """A section `security` with files for 127.0.0.1, and the file of who vouches for them."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key, roots = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(roots)
    key.chmod(0o600)
    return {"tls_cert": str(cert), "tls_key": str(key)}, roots


def test_a_host_on_a_unix_socket_serves_in_plaintext_beside_a_farm_with_tls(
    host, tmp_path, tmp_path_factory, connect
):
    security, _ = make_certificate(tmp_path)
    address = f"unix:{tmp_path_factory.mktemp('s')}/games.sock"
    hosting = host(security=security, games={"address": address})
    assert hosting.address == address
    assert connect(hosting).create().game_id


def test_a_host_with_a_certificate_serves_by_tls(host, tmp_path):
    security, roots = make_certificate(tmp_path)
    hosting = host(security=security)
    credentials = grpc.ssl_channel_credentials(roots.read_bytes())
    calls = Calls(hosting.address)
    calls.close()
    calls.channel = grpc.secure_channel(hosting.address, credentials)
    assert calls.create().game_id
    calls.close()


def test_counters_say_what_goes_on(host, connect):
    hosting = host()
    calls = connect(hosting)
    created = calls.create(board=BOARD)
    anna, bob = (calls.join(created.game_id, name).token for name in ("anna", "bob"))
    for token in (anna, bob):
        calls.submit(created.game_id, token)
    with pytest.raises(RefusedError):
        calls.submit(created.game_id, anna, (0, 24))
    slot = hosting.slot
    hosting.wait(lambda: slot.counter("env_steps") == 1, "the tick in the counters")
    hosting.wait(lambda: slot.counter("actions_rejected") == 1, "the refusal in the counters")
    assert slot.counter("actions_accepted") == 2
    assert (slot.counter("games_open"), slot.counter("games_started")) == (1, 1)
    assert slot.counter("seats_connected") == 2
    assert sum(slot.histogram("action_latency_us").counts) >= 2
    calls.unary(names.SURRENDER, game_id=created.game_id, token=anna)
    hosting.wait(lambda: slot.counter("games_finished") == 1, "the end in the counters")
    assert slot.counter("games_open") == 0


def test_no_game_writes_a_line_of_the_log(host, connect, capfd):
    calls = connect(host())
    calls.unary(names.LIST_GAMES)  # answered: it has said that it serves
    capfd.readouterr()
    created = calls.create(board=BOARD)
    anna = calls.join(created.game_id).token
    calls.join(created.game_id)
    calls.unary(names.SURRENDER, game_id=created.game_id, token=anna)
    assert capfd.readouterr().out == ""


def test_ended_games_are_forgotten_early_where_their_boards_take_too_much(
    host, connect, monkeypatch
):
    calls = connect(host())
    played = [calls.create(n_seats=2, bots={1: "random"}) for _ in range(2)]
    tokens = [calls.join(one.game_id).token for one in played]
    one_board = 25 * (1 + 4 + 1) + 2 * (4 + 4 + 4 + 1 + frame_bytes(25, 2))
    monkeypatch.setattr(register, "MAX_KEPT_BYTES", one_board)
    for game, token in zip(played, tokens, strict=True):
        calls.unary(names.SURRENDER, game_id=game.game_id, token=token)

    def is_forgotten():
        try:
            calls.state(played[0].game_id, tokens[0])
        except RefusedError as error:
            return error.reason == "UNKNOWN_GAME"
        return False

    calls.hosting.wait(is_forgotten, "the first game to be forgotten")
    assert calls.state(played[1].game_id, tokens[1]).phase == pb.PHASE_ENDED
