"""Responses on bytes alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire_sinks import Responses, cut
from tulle.actors.proxy.wire.body import CHUNKED, UNTIL_CLOSE
from tulle.actors.proxy.wire.compose import CLOSE_LINE, response_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"


def test_a_response_is_read() -> None:
    seen = Responses().feed(OK)
    assert seen.head is not None
    assert (seen.head.status, seen.head.length, seen.head.declared) == (200, 5, 5)
    assert seen.head.lines == [b"X-A: 1"]
    assert (seen.body, seen.ended) == (b"hello", True)
    assert seen.head.keep_alive
    assert seen.reader.is_idle()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 20 Short\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 65_536 + b"\r\n\r\n",
        b"garbage",
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    assert Responses().feed(data).flaw is not None
    assert Responses().feed(*cut(data, range(0, len(data), 61))).flaw is not None


@pytest.mark.parametrize(("status", "declared"), [(b"204 No", None), (b"304 Not", 5)])
def test_a_length_without_a_body(status: bytes, declared: int | None) -> None:
    seen = Responses().feed(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n")
    assert seen.head is not None
    assert (seen.head.length, seen.head.declared, seen.ended) == (0, declared, True)


def test_chunked() -> None:
    seen = Responses().feed(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
    )
    assert seen.head is not None
    assert seen.head.length == CHUNKED
    assert seen.head.lines == []
    assert (seen.body, seen.ended, seen.reader.is_idle()) == (b"hello", True, True)


def test_delimited_by_close() -> None:
    seen = Responses().feed(b"HTTP/1.0 200 OK\r\n\r\nhel", b"lo")
    assert seen.head is not None
    assert (seen.head.length, seen.head.keep_alive, seen.ended) == (UNTIL_CLOSE, False, False)
    assert seen.reader.close()
    assert (seen.body, seen.ended) == (b"hello", True)


def test_a_fixed_body_that_ends_early_is_not_complete() -> None:
    seen = Responses().feed(OK[:-1])
    assert not seen.reader.close()
    assert not seen.ended


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_without_a_body_and_the_next_one_is_read(method: bytes, head: bytes) -> None:
    for pieces in ([head], [head[:20], head[20:]]):
        seen = Responses(method).feed(*pieces)
        assert (seen.body, seen.ended, seen.flaw) == (b"", True, None)
        assert seen.reader.is_idle()
        seen.reader.expect(seen, b"GET")
        seen.ended = False
        seen.feed(OK)
        assert (seen.body, seen.ended, seen.flaw) == (b"hello", True, None)


def test_informational_responses_come_before() -> None:
    seen = Responses().feed(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    )
    assert seen.informational == [100, 103]
    assert (seen.body, seen.ended, seen.flaw) == (b"hello", True, None)


@pytest.mark.parametrize(
    "extra",
    [b"x", OK, b"HTTP/1.1 200 OK\r\n\r\n"],
)
@pytest.mark.parametrize(
    "response",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_more_than_was_asked_for_spoils_the_connection(response: bytes, extra: bytes) -> None:
    seen = Responses().feed(response + extra)
    assert seen.ended
    assert not seen.reader.is_idle()
    later = Responses().feed(response)
    later.feed(extra)
    assert later.ended
    assert not later.reader.is_idle()


@pytest.mark.parametrize(
    ("lines", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_is_kept(lines: bytes, keeps: bool) -> None:
    seen = Responses().feed(lines + b"Content-Length: 0\r\n\r\n")
    assert seen.head is not None
    assert seen.head.keep_alive is keeps


def test_what_is_meant_for_this_hop_goes_no_further() -> None:
    seen = Responses().feed(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nx-hop: 1\r\nKeep-Alive: a\r\nX-B: 2\r\n"
        b"Proxy-Authenticate: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"
    )
    assert seen.head is not None
    assert seen.head.lines == [b"X-B: 2", b"Set-Cookie: a", b"Set-Cookie: b"]


STREAM = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A:  1 \r\n\r\n"
    b"5;x=y\r\nhe\r\no\r\n00A\r\n0123456789\r\n0\r\nX: 1\r\n\r\n"
)


def seen_in(pieces: list[bytes]) -> tuple[object, ...]:
    seen = Responses().feed(*pieces)
    assert seen.head is not None
    names = [line.split(b":")[0] for line in seen.head.lines]
    return seen.informational, seen.head.status, names, seen.body, seen.ended, seen.flaw


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_how_bytes_are_split_into_reads_does_not_matter(cuts: list[int]) -> None:
    assert seen_in(cut(STREAM, cuts)) == seen_in([STREAM])


_LINES = st.sampled_from(
    [
        b"Content-Length: 0", b"Content-Length: 5", b"content-length: 5", b"Content-Length: 05",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close",
        b"Connection: keep-alive", b"Connection: x-one", b"Connection: upgrade", b"Upgrade: h2c",
        b"X-One: 1", b"x-two:2", b"Bad : 1", b"X-Three: \x01", b"Set-Cookie: a", b"Set-Cookie: b",
    ]
)  # fmt: skip
_ANY_LINES = st.binary(min_size=1, max_size=8).filter(lambda line: b"\r\n" not in line)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_LINES | _ANY_LINES | _ANY_LINES.map(lambda rest: b"X:" + rest), max_size=5),
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content"]),
)
def test_lines_apart_are_read_as_whole_heads(lines: list[bytes], start: bytes) -> None:
    data = b"\r\n".join([start, *lines, b"", b""])

    def read(*pieces: bytes) -> tuple[object, ...]:
        seen = Responses().feed(*pieces)
        if seen.head is None:
            return seen.flaw is None, seen.ended
        it = seen.head
        sent = response_head(it, CLOSE_LINE, seen.body)
        return it.status, it.lines, it.length, it.declared, it.keep_alive, seen.ended, sent

    # Of a head in two reads llhttp sees all; in one, only the lines that it has not seen yet.
    parsed = read(data[:9], data[9:])
    for _ in range(4):  # the third time nothing is new, and the fourth all of it is remembered
        assert read(data) == parsed


def test_a_head_that_comes_again_answers_a_head_as_before() -> None:
    data = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nContent-Length: 5\r\n\r\n"
    for _ in range(4):
        get = Responses().feed(data, b"hello")
        assert (get.body, get.ended) == (b"hello", True)
        head = Responses(b"HEAD").feed(data)
        assert head.head is not None
        assert (head.head.length, head.head.declared, head.ended) == (0, 5, True)


def test_an_edit_does_not_touch_the_next() -> None:
    data = b"HTTP/1.1 200 OK\r\nX-Two: 1\r\nContent-Length: 0\r\n\r\n"
    for _ in range(4):
        head = Responses().feed(data).head
        assert head is not None
        edited = head.edited([*head.lines, b"x-more: 1"])
        assert edited.lines == [b"X-Two: 1", b"x-more: 1"]
        assert head.lines == [b"X-Two: 1"]
        assert b"\r\nx-more: 1\r\ncontent-length: 0\r\n" in response_head(edited, b"")
