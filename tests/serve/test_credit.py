"""Credit."""

import pytest

from farm.serve.credit import Credit

KIB = 1024


def test_a_fresh_credit_has_all_its_room():
    assert Credit(1000).room_bytes(100) == 1000


def test_what_is_out_is_not_available_until_it_comes_back():
    credit = Credit(1000)
    credit.take(600)
    assert credit.room_bytes(100) == 400
    credit.give_back(600)
    assert credit.room_bytes(100) == 1000


def test_a_batch_is_not_made_smaller_than_what_is_worth_a_message():
    credit = Credit(1024 * KIB)
    credit.take(1000 * KIB)
    assert credit.room_bytes(256 * KIB) == 0


def test_a_credit_below_the_usual_batch_still_gets_messages():
    credit = Credit(64 * KIB)
    credit.take(40 * KIB)
    assert credit.room_bytes(256 * KIB) == 24 * KIB
    credit.take(10 * KIB)
    assert credit.room_bytes(256 * KIB) == 0


def test_a_batch_larger_than_the_credit_leaves_no_room():
    credit = Credit(10)
    credit.take(5000)
    assert credit.room_bytes(1) == 0


def test_the_time_without_room_starts_when_it_is_first_missed():
    credit = Credit(10)
    credit.take(10)
    assert credit.blocked_ns(5_000) == 0
    assert credit.blocked_ns(8_000) == 3_000


def test_an_acknowledgement_starts_the_time_again():
    credit = Credit(10)
    credit.take(10)
    credit.blocked_ns(5_000)
    credit.give_back(1)
    assert credit.blocked_ns(9_000) == 0


def test_more_cannot_come_back_than_went_out():
    credit = Credit(10)
    credit.take(5)
    with pytest.raises(ValueError, match="6 bytes back of 5"):
        credit.give_back(6)


def test_a_credit_can_be_cut_below_what_is_out_and_comes_back_up_to_what_was_granted():
    credit = Credit(1000)
    credit.take(900)
    credit.fit(300)
    assert credit.is_cut
    assert credit.room_bytes(1) == 0
    credit.give_back(700)
    assert credit.room_bytes(1) == 100
    credit.fit(5000)
    assert not credit.is_cut
    assert credit.room_bytes(1) == 800
