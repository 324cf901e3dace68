"""Errors and status codes."""

import grpc
import pytest

from farm import errors
from farm.rpc.status import (
    GAME_STATUS,
    error_of,
    is_transient,
    retry_after_s,
    status_of,
    trailing_of,
)
from farm.rpc.v1 import games_pb2

Code = grpc.StatusCode


def request_errors(kind=errors.RequestError):
    for sub in kind.__subclasses__():
        yield sub
        yield from request_errors(sub)


@pytest.mark.parametrize(
    "kind", [kind for kind in request_errors() if kind is not errors.GameError]
)
def test_every_refusal_has_a_status_of_its_own(kind):
    assert status_of(kind("x")) is not Code.INTERNAL


@pytest.mark.parametrize("reason", games_pb2.Reason.keys()[1:])
def test_every_reason_of_a_game_has_a_status(reason):
    assert status_of(errors.GameError(reason, "x")) is GAME_STATUS[reason]


def test_there_is_no_status_for_a_reason_that_is_none():
    assert set(GAME_STATUS) == set(games_pb2.Reason.keys()[1:])


@pytest.mark.parametrize(
    "error", [ValueError("x"), errors.FarmError("x"), errors.SegmentError("x")]
)
def test_anything_else_is_internal(error):
    assert status_of(error) is Code.INTERNAL


def test_no_answer_is_an_unavailable_farm_and_names_the_address():
    error = error_of(Code.UNAVAILABLE, "connection refused", "host:1")
    assert isinstance(error, errors.UnavailableError)
    assert "host:1" in str(error)


def test_a_refusal_carries_status_and_detail():
    error = error_of(Code.NOT_FOUND, "game 7", "host:1")
    assert (type(error), error.status, error.detail) == (
        errors.RejectedError,
        "NOT_FOUND",
        "game 7",
    )


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED])
def test_a_stream_that_was_cut_is_worth_another_try(code):
    assert is_transient(code, was_connected=False)


def test_a_full_farm_is_worth_another_try_only_for_who_was_in():
    assert is_transient(Code.RESOURCE_EXHAUSTED, was_connected=True)
    assert not is_transient(Code.RESOURCE_EXHAUSTED, was_connected=False)


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED])
def test_what_would_fail_again_is_not_tried_again(code):
    assert not is_transient(code, was_connected=True)


@pytest.mark.parametrize(("seconds", "told"), [(1.0, "1000"), (0.0101, "11"), (0.0, "1")])
def test_a_limit_tells_when_to_try_again_in_milliseconds_of_at_least_one(seconds, told):
    assert trailing_of(errors.LimitError("x", retry_after_s=seconds)) == (("retry-after-ms", told),)
    assert retry_after_s(trailing_of(errors.LimitError("x", retry_after_s=seconds))) >= seconds


def test_no_other_refusal_tells_that():
    assert trailing_of(errors.NoRoomError("x")) == ()
    assert retry_after_s(None) is None
    assert retry_after_s([("other", "5")]) is None


@pytest.mark.parametrize("text", ["", "-5", "soon", "1e3", "²", "99999999999"])
def test_what_is_no_time_or_too_long_is_as_good_as_nothing(text):
    assert retry_after_s([("retry-after-ms", text)]) is None


def test_who_is_at_a_limit_may_come_again_also_if_it_never_was_in():
    assert is_transient(Code.RESOURCE_EXHAUSTED, was_connected=False, retry_after_s=0.5)
    assert not is_transient(Code.NOT_FOUND, was_connected=True, retry_after_s=0.5)


def test_a_refusal_carries_when_to_try_again():
    error = error_of(Code.RESOURCE_EXHAUSTED, "busy", "host:1", retry_after_s=0.25)
    assert error.retry_after_s == 0.25
    assert error_of(Code.NOT_FOUND, "game 7", "host:1").retry_after_s is None


HANDSHAKE = (
    "UNKNOWN: ipv4:127.0.0.1:7: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: "
    "error:1000007d:SSL routines:OPENSSL_internal:"
)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("UNKNOWN: ipv4:127.0.0.1:7: Failed to connect: Connection refused", "Connection refused"),
        (
            f"{HANDSHAKE}CERTIFICATE_VERIFY_FAILED: no local issuer: OK",
            "the TLS handshake failed, CERTIFICATE_VERIFY_FAILED: no local issuer",
        ),
        (f"{HANDSHAKE}WRONG_VERSION_NUMBER: Invalid context: OK", "it speaks no TLS there"),
        (
            "UNAVAILABLE: ipv4:127.0.0.1:7: Socket closed",
            "Socket closed; it may want TLS, or a certificate of this client that it trusts",
        ),
    ],
)
def test_who_gets_no_connection_is_told_why_and_not_every_address(end, told):
    detail = f"failed to connect to all addresses; last error: {end}"
    error = error_of(Code.UNAVAILABLE, detail, "a:7")
    assert str(error) == f"no farm answers at a:7: {told}"
