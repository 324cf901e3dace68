"""A seat is a policy or a weighted mix of policies; anything else is refused with what would do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.config.mix import MAX_WEIGHT, parse_mix

POLICIES = ("random", "expander", "hunter")


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("hunter", [("hunter", 1)]),
        ("hunter:7", [("hunter", 7)]),
        ("hunter|expander", [("hunter", 1), ("expander", 1)]),
        ("hunter:2|expander:1", [("hunter", 2), ("expander", 1)]),
        ("random|hunter:3", [("random", 1), ("hunter", 3)]),
    ],
)
def test_a_mix_is_names_with_weights_in_their_order(text, shares):
    assert list(parse_mix(text, POLICIES)) == shares


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no policy ''", "there are expander, hunter, random"]),
        ("huntr", ["no policy 'huntr'; did you mean hunter?"]),
        ("expander|huntr:2", ["no policy 'huntr' in 'expander|huntr:2'", "did you mean hunter?"]),
        ("hunter|", ["no policy '' in 'hunter|'"]),
        ("hunter| expander", ["no policy ' expander'", "did you mean expander?"]),
        ("hunter:2|hunter", ["hunter stands twice", "add up"]),
        ("hunter:", ["the weight '' of hunter", "as in hunter:2"]),
        ("hunter:0", ["the weight '0'", "1 to 1000000"]),
        ("hunter:-1", ["the weight '-1'"]),
        ("hunter:1.5", ["the weight '1.5'", "whole number"]),
        ("hunter:1_0", ["the weight '1_0'"]),
        ("hunter:1000001", ["the weight '1000001'"]),
        ("hunter:2:3", ["the weight '2:3'"]),
    ],
)
def test_anything_else_is_refused(text, parts):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, parts))):
        parse_mix(text, POLICIES)


@given(st.permutations(POLICIES), st.lists(st.integers(1, MAX_WEIGHT), min_size=3, max_size=3))
def test_what_is_written_is_read_back(names, weights):
    shares = list(zip(names, weights, strict=True))
    assert list(parse_mix("|".join(f"{name}:{n}" for name, n in shares), POLICIES)) == shares
