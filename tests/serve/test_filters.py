"""Filters on the wire."""

import pytest

from farm.errors import InvalidRequestError
from farm.rpc.v1 import experience_pb2
from farm.serve.filters import compile_filter
from farm.spec.trajectory import policy_hash


def compiled(**fields):
    return compile_filter(experience_pb2.Filter(**fields))


def test_an_empty_filter_lets_everything_pass():
    wanted = compiled()
    assert (len(wanted.game_ids), wanted.seats, wanted.min_last_tick) == (0, 0, 0)
    assert len(wanted.policies) == 0


def test_lists_are_sorted_and_without_repeats():
    assert compiled(game_ids=[5, 1, 5]).game_ids.tolist() == [1, 5]


def test_seats_become_bits():
    assert compiled(seats=[0, 3, 3]).seats == 0b1001


def test_a_turn_is_two_ticks():
    assert compiled(min_turn=21).min_last_tick == 42


def test_policies_become_their_hashes():
    hashes = sorted(map(policy_hash, ("random", "expander")))
    assert compiled(policies=["random", "expander"]).policies.tolist() == hashes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seats": [16]}, "seat 16; seats are 0 to 15"),
        ({"game_ids": [1 << 63]}, "2\\*\\*63"),
        ({"game_ids": range(1025)}, "game_ids has 1025 values; at most 1024"),
        ({"policies": ["x"] * 1025}, "policies has 1025 values"),
        ({"min_turn": (1 << 32) - 1}, "no game lasts"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(fields, message):
    with pytest.raises(InvalidRequestError, match=message):
        compiled(**fields)
