from http import HTTPStatus

import pytest

from farm.metrics.request import MAX_HEAD_BYTES, Request, Response, parse


def head(*lines):
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_get_is_understood():
    assert parse(head("GET /metrics HTTP/1.1", "Host: a")) == Request(
        "/metrics", wants_openmetrics=False
    )
    assert parse(head("GET /readyz?verbose=1 HTTP/1.0")) == Request(
        "/readyz", wants_openmetrics=False
    )


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True),
        ("accept:text/plain, application/openmetrics-text", True),
        ("Accept: text/plain", False),
        ("X-Accept: application/openmetrics-text", False),
    ],
)
def test_openmetrics_is_for_those_who_ask_for_it(header, wanted):
    assert parse(head("GET /metrics HTTP/1.1", "Host: a", header)).wants_openmetrics is wanted


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PRI"])
def test_any_other_method_is_refused_by_name(method):
    response = parse(head(f"{method} /metrics HTTP/1.1"))
    assert response.status is HTTPStatus.METHOD_NOT_ALLOWED
    assert ("Allow", "GET") in response.headers


@pytest.mark.parametrize(
    "lines",
    [
        ("",),
        ("GET /metrics",),
        ("GET metrics HTTP/1.1",),
        ("GET http://other/metrics HTTP/1.1",),
        ("get /metrics HTTP/1.1",),
        ("GET /metrics HTTP/2.0",),
        ("GET  /metrics HTTP/1.1",),
        ("GET /met rics HTTP/1.1",),
        ("GET /\x00 HTTP/1.1",),
        ("GET /metrics HTTP/1.1", "no colon"),
        ("GET /metrics HTTP/1.1", "Host : a"),
        ("GET /metrics HTTP/1.1", " folded: a"),
        ("GET /metrics HTTP/1.1", "Host: \x00"),
        ("\x16\x03\x01\x02\x00",),
    ],
)
def test_whatever_is_no_request_is_refused(lines):
    assert parse(head(*lines)).status is HTTPStatus.BAD_REQUEST


def test_the_longest_head_is_parsed_in_time_that_grows_with_it_alone():
    filler = "a" * (MAX_HEAD_BYTES - 64)
    assert parse(head("GET /metrics HTTP/1.1", f"X: {filler}")) == Request(
        "/metrics", wants_openmetrics=False
    )
    assert parse(head("GET /metrics HTTP/1.1", f"{filler}\x00")).status is HTTPStatus.BAD_REQUEST


def test_a_response_says_its_length_and_that_it_is_the_last():
    text = Response(HTTPStatus.OK, b"one\r\n\r\ntwo", headers=[("Allow", "GET")]).encode()
    head_part, _, body = text.partition(b"\r\n\r\n")
    lines = head_part.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {"Content-Length: 10", "Connection: close", "Allow: GET"} <= set(lines)
    assert body == b"one\r\n\r\ntwo"
