"""Tokens and roles: who may call what, over the real service."""

import hashlib
import time
from pathlib import Path

import grpc
import pytest
from serving import farm_config

from farm.client import NO_RETRY, AsyncClient, Client
from farm.config.check import check
from farm.config.tokens import find_bearer, read_tokens
from farm.errors import ConfigError, RejectedError, UsageError
from farm.rpc import names
from farm.rpc.v1 import experience_pb2, games_pb2
from farm.serve.access import NEEDS, OPEN

ROLES = ("observe", "play", "train", "admin")


def line(role, token=None):
    return f"{role}-1 {role} {hashlib.sha256((token or f'{role}-token').encode()).hexdigest()}\n"


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("# who may come in\n" + "".join(map(line, ROLES)))
    file.chmod(0o600)
    return file


@pytest.fixture
def address(serve, tokens):
    return serve(security={"tokens_file": str(tokens)}).address


def call(address, act, token):
    with Client(address, retry=NO_RETRY, token=token) as client:
        return act(client)


def status_of(address, act, token):
    try:
        call(address, act, token)
    except RejectedError as error:
        return error.status
    return "OK"


def watch(client):
    with client.stream() as stream:
        stream._receive()


def join(client):
    with client.subscribe() as member:
        member._receive()


CALLS = {
    "info": (lambda client: client.info(), {"observe", "play", "train", "admin"}),
    "stats": (lambda client: client.stats(), {"observe", "play", "train", "admin"}),
    "balance": (lambda client: client.balance(), {"observe", "play", "train", "admin"}),
    "stream": (watch, {"observe", "play", "train", "admin"}),
    "subscribe": (join, {"train", "admin"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_for_the_roles_of_the_table(address, name):
    act, allowed = CALLS[name]
    told = {role: status_of(address, act, f"{role}-token") for role in ROLES}
    assert told == {role: "OK" if role in allowed else "PERMISSION_DENIED" for role in ROLES}


def test_only_an_admin_removes_groups_or_is_told_that_there_is_none(address):
    told = {
        role: status_of(address, lambda c: c.remove_group("no"), f"{role}-token") for role in ROLES
    }
    assert told == dict.fromkeys(ROLES, "PERMISSION_DENIED") | {"admin": "NOT_FOUND"}


@pytest.mark.parametrize("token", [None, "wrong", "observe-toke", "observe-token2"])
def test_without_a_known_token_nothing_is_answered(address, token):
    for act, _ in CALLS.values():
        assert status_of(address, act, token) == "UNAUTHENTICATED"


def test_a_refusal_tells_neither_the_file_nor_the_token(address, tokens):
    with pytest.raises(RejectedError) as refused:
        call(address, lambda client: client.info(), "my-wrong-token")
    assert str(tokens) not in str(refused.value)
    assert "my-wrong-token" not in str(refused.value)


def test_health_needs_no_token_and_reflection_does(address):
    with grpc.insecure_channel(address) as channel:
        check_health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check_health(b"", timeout=5)
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        with pytest.raises(grpc.RpcError) as refused:
            next(channel.stream_stream(path)(iter([b"\x3a\x01*"]), timeout=5))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_changed_file_counts_from_the_next_call_on_and_a_broken_one_changes_nothing(
    address, tokens, capfd
):
    tokens.write_text(line("observe", "new-token"))
    assert status_of(address, lambda client: client.info(), "observe-token") == "UNAUTHENTICATED"
    assert status_of(address, lambda client: client.info(), "new-token") == "OK"
    tokens.write_text("what is this")
    assert status_of(address, lambda client: client.info(), "new-token") == "OK"
    assert "tokens_not_loaded" in capfd.readouterr().out


def ending_of(stream):
    """Status of a stream that was read, as soon as it ends, and how long that took."""
    began_s = time.monotonic()
    with pytest.raises(RejectedError) as ended:
        next(stream)
    return ended.value, time.monotonic() - began_s


@pytest.mark.parametrize("opened", ["stream", "subscribe"])
def test_an_open_stream_ends_soon_after_its_token_is_taken_back_and_no_other_does(
    address, tokens, capfd, opened
):
    with (
        Client(address, retry=NO_RETRY, token="train-token") as ours,
        Client(address, retry=NO_RETRY, token="admin-token") as others,
    ):
        stream, other = getattr(ours, opened)(), others.stream()
        stream._receive()
        other._receive()
        tokens.write_text(line("admin"))
        ended, seconds = ending_of(stream)
        assert ended.status == "UNAUTHENTICATED"
        assert ended.detail == "the token of this stream (train-1) was taken back"
        assert seconds < 3.0
        assert others.stats().groups == () or not others.stats().groups[0].members
        assert other._call.is_active()
    assert '"event":"tokens_loaded"' in (told := capfd.readouterr().out)
    assert '"ended_streams":1' in told


def test_an_open_stream_ends_when_its_token_gets_a_role_that_may_not_open_it(address, tokens):
    with Client(address, retry=NO_RETRY, token="train-token") as client:
        watching, member = client.stream(), client.subscribe()
        watching._receive()
        member._receive()
        tokens.write_text(line("observe", "train-token"))
        assert ending_of(member)[0].status == "UNAUTHENTICATED"
        assert watching._call.is_active()


def test_a_broken_file_ends_no_stream(address, tokens, capfd):
    with Client(address, retry=NO_RETRY, token="train-token") as client:
        stream = client.stream()
        stream._receive()
        tokens.write_text("what is this")
        deadline_s = time.monotonic() + 10
        while "tokens_not_loaded" not in capfd.readouterr().out:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert stream._call.is_active()
        assert client.info()


async def _ask(address, token):
    async with AsyncClient(address, token=token) as client:
        return (await client.info()).instance


def test_the_asyncio_face_shows_its_token_too(address):
    import asyncio  # noqa: PLC0415 - for this test alone

    assert asyncio.run(_ask(address, "observe-token"))


def test_the_environment_may_hold_the_token_or_its_file(address, tmp_path, monkeypatch):
    monkeypatch.setenv("FARM_TOKEN", "observe-token")
    assert status_of(address, lambda client: client.info(), None) == "OK"
    monkeypatch.delenv("FARM_TOKEN")
    (tmp_path / "mine").write_text("train-token\n")
    monkeypatch.setenv("FARM_TOKEN_FILE", str(tmp_path / "mine"))
    assert status_of(address, join, None) == "OK"


def test_a_token_does_not_cross_a_network_in_plaintext(monkeypatch):
    with pytest.raises(UsageError, match="plaintext"):
        Client("10.0.0.5:1", token="secret")
    monkeypatch.setenv("FARM_INSECURE", "1")
    Client("10.0.0.5:1", token="secret").close()


def test_every_method_of_the_service_has_a_role():
    for file in (experience_pb2, games_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            paths = {names.method_path(one.name, service.full_name) for one in service.methods}
            assert paths <= set(NEEDS)
    assert not OPEN & set(NEEDS)


def test_games_are_listed_by_who_observes_and_played_by_who_plays():
    needed = {path.rpartition("/")[2]: NEEDS[path] for path in NEEDS if "GameService" in path}
    assert needed.pop(names.LIST_GAMES) == "observe"
    assert set(needed.values()) == {"play"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "0 tokens"), ("a train short", "line 1"), (line("root"), "'root' is none of observe")],
)
def test_a_file_that_is_none_of_tokens_is_refused_at_the_start(tokens, text, reason):
    tokens.write_text(text)
    with pytest.raises(ConfigError, match=reason) as refused:
        check(farm_config(security={"tokens_file": str(tokens)}), policies={"expander", "random"})
    assert refused.value.key == "security.tokens_file"


def test_a_file_that_others_can_read_is_refused(tokens):
    tokens.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 0600"):
        check(farm_config(security={"tokens_file": str(tokens)}), policies={"expander", "random"})


def test_a_token_is_compared_whole(tokens):
    bearers = read_tokens(str(tokens))
    assert find_bearer(bearers, "admin-token").role == "admin"
    assert find_bearer(bearers, "admin-toke") is None
    assert find_bearer(bearers, "") is None
    assert "admin-token" not in Path(tokens).read_text()
