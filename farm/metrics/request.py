"""HTTP as far as this endpoint speaks it: the head of one GET in, one whole response out. Pure.

A response ends its connection. There is no body in a request, no keep-alive and no encoding: what
is not there cannot be held against us.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

MAX_HEAD_BYTES = 8 << 10
"""Request line and headers together."""
END = b"\r\n\r\n"

_LINE = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(r"[!#-'*+\-.^_`|~0-9A-Za-z]+:[ \t!-~\x80-\xff]*")
_OPENMETRICS = "application/openmetrics-text"


class Request(Struct, frozen=True):
    """A GET that was understood."""

    path: str
    """Without its query."""
    wants_openmetrics: bool
    """Whether the caller takes that format."""


class Response(Struct, frozen=True):
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()

    def encode(self) -> bytes:
        """As it goes over the wire."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode("ascii") + END + self.body


TOO_LONG = Response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"a request has at most {MAX_HEAD_BYTES} bytes\n".encode(),
)


def parse(head: bytes) -> Request | Response:
    """Understand a request, or say what is wrong with it.

    Args:
        head: up to the empty line and with it, at most MAX_HEAD_BYTES.
    """
    first, *rest = head.removesuffix(END).decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None or not all(map(_HEADER.fullmatch, rest)):
        return Response(HTTPStatus.BAD_REQUEST, b"that is no request of HTTP/1.1\n")
    method, target = line.groups()
    if method != "GET":
        return Response(
            HTTPStatus.METHOD_NOT_ALLOWED, b"only GET is understood\n", headers=[("Allow", "GET")]
        )
    accepted = [
        value
        for name, _, value in (header.partition(":") for header in rest)
        if name.lower() == "accept"
    ]
    return Request(target.partition("?")[0], any(_OPENMETRICS in value for value in accepted))
