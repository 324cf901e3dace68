"""Which host is asked, and what becomes of their refusals."""

import pytest

from farm.client.games.hosts import Hosts, outranks
from farm.errors import GameRejectedError, RejectedError, UnavailableError
from farm.rpc.names import GAME_SERVICE

THREE = {
    f"{GAME_SERVICE}/2": "10.0.0.5:3",
    GAME_SERVICE: "10.0.0.5:1",
    f"{GAME_SERVICE}/1": "10.0.0.5:2",
    "metrics": "10.0.0.5:9",
    f"{GAME_SERVICE}/x": "10.0.0.5:8",
}
ALL = ("10.0.0.5:1", "10.0.0.5:2", "10.0.0.5:3")


@pytest.fixture
def hosts():
    made = Hosts("10.0.0.5:50051")
    made.learned(THREE)
    return made


def refusal(reason):
    return GameRejectedError("X", "no", reason=reason)


def test_the_hosts_are_in_the_order_of_their_numbers(hosts):
    assert hosts.all == ALL
    assert hosts.were_reached
    assert not hosts.is_stale


def test_the_host_that_has_a_game_is_asked_first_then_the_others(hosts):
    assert hosts.to_ask(7) == ALL
    hosts.found(7, ALL[2])
    assert hosts.to_ask(7) == (ALL[2], ALL[0], ALL[1])
    assert hosts.known(7) == ALL[2]
    assert hosts.known(8) is None


def test_new_games_are_spread_and_a_key_always_goes_the_same_way(hosts):
    firsts = {hosts.for_new(f"key-{n}")[0] for n in range(50)}
    assert firsts == set(ALL)
    assert all(set(hosts.for_new(f"key-{n}")) == set(ALL) for n in range(50))
    assert hosts.for_new("key-1") == hosts.for_new("key-1")


def test_hosts_at_other_ports_are_asked_anew_about_every_game(hosts):
    hosts.found(7, ALL[2])
    hosts.doubt()
    assert hosts.is_stale
    hosts.learned(THREE)
    assert hosts.known(7) == ALL[2]
    hosts.learned({GAME_SERVICE: ALL[0], f"{GAME_SERVICE}/1": "10.0.0.5:77"})
    assert hosts.known(7) is None


def test_a_farm_that_does_not_answer_leaves_the_hosts_that_are_known(hosts):
    hosts.not_learned(UnavailableError("gone"))
    assert hosts.all == ALL
    with pytest.raises(UnavailableError):
        Hosts("x:1").not_learned(UnavailableError("gone"))
    with pytest.raises(RejectedError):
        hosts.not_learned(RejectedError("PERMISSION_DENIED", "no"))


def test_a_games_host_that_is_asked_is_the_host():
    hosts = Hosts("10.0.0.5:1")
    hosts.not_learned(RejectedError("UNIMPLEMENTED", "Method not found!"))
    assert hosts.all == ("10.0.0.5:1",)


@pytest.mark.parametrize(
    ("told", "asked", "reached"),
    [
        ("0.0.0.0:1", "10.0.0.5:50051", "10.0.0.5:1"),
        ("[::]:1", "farm.example:50051", "farm.example:1"),
        ("127.0.0.1:1", "farm.example:50051", "farm.example:1"),
        ("127.0.0.1:1", "localhost:50051", "127.0.0.1:1"),
        ("10.0.0.6:1", "10.0.0.5:50051", "10.0.0.6:1"),
        ("unix:/run/games.sock", "unix:/run/farm.sock", "unix:/run/games.sock"),
        ("unix:/run/games.sock", "localhost:50051", "unix:/run/games.sock"),
        ("127.0.0.1:1", "unix:/run/farm.sock", "127.0.0.1:1"),
        ("0.0.0.0:1", "unix:/run/farm.sock", "127.0.0.1:1"),
    ],
)
def test_an_address_that_only_the_farm_can_use_is_taken_where_it_was_asked(told, asked, reached):
    hosts = Hosts(asked)
    hosts.learned({GAME_SERVICE: told})
    assert hosts.all == (reached,)


def test_who_has_the_game_outranks_who_does_not_know_it():
    unknown, limit = refusal("UNKNOWN_GAME"), refusal("LIMIT")
    assert outranks(unknown, None) is unknown
    assert outranks(limit, unknown) is limit
    assert outranks(unknown, limit) is limit
    with pytest.raises(GameRejectedError, match="no"):
        outranks(refusal("BAD_TOKEN"), unknown)
