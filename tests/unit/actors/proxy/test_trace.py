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
    (tracer or Tracer()).complete(head)
    return head.made.split(b"\r\n") if head.made else []


def test_both_are_made() -> None:
    request_id, parent = added(head())
    assert ID.fullmatch(request_id)
    assert TRACE.fullmatch(parent)


def test_what_is_there_is_passed_on() -> None:
    there = head(b"X-Request-Id: mine", b"Traceparent: " + PARENT, b"Tracestate: a=b")
    assert added(there) == []
    assert there.headers == [
        (b"x-request-id", b"mine"),
        (b"traceparent", PARENT),
        (b"tracestate", b"a=b"),
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
        [PARENT[:-1]],
        [PARENT + b"0"],
        [PARENT[:-3]],
        [b""],
        [b"0" + PARENT],
        [b"cc" + PARENT[2:] + b"more"],
        [PARENT.replace(b"-", b"_")],
        [PARENT + b", " + PARENT],
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


def test_a_state_without_a_trace_is_dropped() -> None:
    there = head(b"Tracestate: a=b")
    request_id, parent = added(there)
    assert ID.fullmatch(request_id) and TRACE.fullmatch(parent)
    assert there.headers == []


def test_a_state_in_pieces_is_passed_on_in_order() -> None:
    there = head(b"Tracestate: a=b", b"X-Request-Id: mine", b"Traceparent: " + PARENT)
    more = head(*[b"Tracestate: " + one for one in (b"a=b", b"c=d")], b"Traceparent: " + PARENT)
    assert added(there) == []
    added(more)
    assert [pair for pair in more.headers if pair[0] == b"tracestate"] == [
        (b"tracestate", b"a=b"),
        (b"tracestate", b"c=d"),
    ]


@pytest.mark.parametrize("flags", [b"00", b"01", b"ff"])
def test_flags_are_the_callers(flags: bytes) -> None:
    there = head(b"X-Request-Id: mine", b"Traceparent: " + PARENT[:-2] + flags)
    assert added(there) == []


def test_a_request_id_is_whatever_the_caller_says() -> None:
    there = head(b"X-Request-Id: not a uuid", b"Traceparent: " + PARENT)
    assert added(there) == []
    assert (b"x-request-id", b"not a uuid") in there.headers


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
