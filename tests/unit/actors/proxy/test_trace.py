"""Request ids and trace contexts."""

import os
import re

import pytest

from tests.support.wire_sinks import Requests
from tulle.actors.proxy.trace import Tracer
from tulle.actors.proxy.wire.request_head import RequestHead

PARENT = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
ID = re.compile(rb"x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}")
TRACE = re.compile(rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00")


def head(*lines: bytes) -> RequestHead:
    data = b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines, b"", b""])
    return Requests().feed(data).heads[0]


def added(head: RequestHead, tracer: Tracer | None = None) -> list[bytes]:
    lines: list[bytes] = []
    (tracer or Tracer()).complete(head, lines)
    return [one for line in lines for one in line.split(b"\r\n")]


def test_both_are_made() -> None:
    request_id, parent = added(head())
    assert ID.fullmatch(request_id)
    assert TRACE.fullmatch(parent)


def test_what_is_there_is_passed_on() -> None:
    there = head(b"X-Request-Id: mine", b"Traceparent: " + PARENT, b"Tracestate: a=b")
    assert added(there) == []
    assert there.headers == [
        (b"tracestate", b"a=b"),
        (b"x-request-id", b"mine"),
        (b"traceparent", PARENT),
    ]


@pytest.mark.parametrize(
    "parents",
    [
        [b"nonsense"],
        [b"ff" + PARENT[2:]],
        [PARENT.replace(b"a", b"0")],
        [PARENT.replace(b"b", b"0")],
        [PARENT.upper()],
        [PARENT + b"-more"],
        [PARENT, PARENT],
    ],
)
def test_a_trace_that_nobody_can_read_begins_anew(parents: list[bytes]) -> None:
    there = head(
        b"X-Request-Id: mine", b"Tracestate: a=b", *[b"Traceparent: " + p for p in parents]
    )
    (parent,) = added(there)
    assert TRACE.fullmatch(parent)
    assert there.headers == [(b"x-request-id", b"mine")]


def test_a_later_version_may_say_more() -> None:
    parent = b"cc" + PARENT[2:] + b"-what-is-this"
    assert added(head(b"X-Request-Id: mine", b"Traceparent: " + parent)) == []


def test_an_empty_request_id_is_none() -> None:
    there = head(b"X-Request-Id:", b"Traceparent: " + PARENT)
    (request_id,) = added(there)
    assert ID.fullmatch(request_id)


def test_random_bytes_are_drawn_in_blocks_and_used_once() -> None:
    drawn = 0

    def urandom(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return os.urandom(count)

    tracer = Tracer(urandom)
    seen = {tuple(added(head(), tracer)) for _ in range(1_000)}
    assert len({request_id for request_id, _ in seen}) == 1_000
    assert len({parent for _, parent in seen}) == 1_000
    assert drawn == 4
