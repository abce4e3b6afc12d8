"""Requests on bytes alone: what is read, what is refused and why, and that reads don't matter."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire_sinks import Requests, cut
from tulle.actors.proxy.wire import request_head as heads
from tulle.actors.proxy.wire.body import CHUNKED
from tulle.actors.proxy.wire.compose import request_head
from tulle.actors.proxy.wire.known import Memo
from tulle.policies import reasons
from tulle.policies.reasons import Reason
from tulle.policies.supported import UNSEEN_HEADERS

GET = b"GET /a?b=c HTTP/1.1\r\nHost: reviews:9080\r\nAccept: */*\r\n\r\n"


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def read(data: bytes) -> Requests:
    return Requests().feed(data)


def test_a_request_is_read() -> None:
    seen = read(GET)
    (head,) = seen.heads
    assert (head.method, head.path, head.authority) == (b"GET", b"/a?b=c", b"reviews:9080")
    assert (head.host.host, head.host.port) == ("reviews", 9080)
    assert head.headers == [(b"accept", b"*/*")]
    assert head.keep_alive
    assert seen.ended == 1
    assert seen.refused is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (request(host=b""), reasons.HOST_MISSING),
        (request(host=b"Host:"), reasons.HOST_MISSING),
        (request(b"host: a"), reasons.HOST_REPEATED),
        (request(b"HOST: b"), reasons.HOST_REPEATED),
        (request(host=b"Host: a b"), reasons.BAD_REQUEST),
        (request(host=b"Host: a,b"), reasons.BAD_REQUEST),
        (request(host=b"Host: user@a"), reasons.BAD_REQUEST),
        (request(host=b"Host: a/b"), reasons.BAD_REQUEST),
        (request(host=b"Host: a:99999"), reasons.BAD_REQUEST),
        (request(host=b"Host: a:0"), reasons.BAD_REQUEST),
        (request(host=b"Host: [::1"), reasons.BAD_REQUEST),
        (request(host=b"Host: \xe4"), reasons.BAD_REQUEST),
        (request(start=b"GET /a#b HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET a HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET * HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET http:///x HTTP/1.1"), reasons.HOST_MISSING),
        (request(start=b"GET http://u:p@h/x HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET https://h/x HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET ftp://h/x HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET  / HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET /  HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET  HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET / HTTP/1.1 "), reasons.BAD_REQUEST),
        (request(start=b"GET / HTTP/2.0"), reasons.BAD_REQUEST),
        (request(start=b"GET / HTTP/0.9"), reasons.BAD_REQUEST),
        (request(start=b"GET / HTTP/1.2"), reasons.BAD_REQUEST),
        (request(start=b"GET / http/1.1"), reasons.BAD_REQUEST),
        (b"GET /\r\n\r\n", reasons.BAD_REQUEST),
        (request(start=b"FOO / HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"get / HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET /\xff HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"GET /\x7f HTTP/1.1"), reasons.BAD_REQUEST),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", reasons.BAD_REQUEST),
        (b"\x16\x03\x01\x02", reasons.BAD_REQUEST),
        (b"GET / HTTP/1.1\nHost: a\n\n", reasons.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", reasons.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", reasons.BAD_REQUEST),
        (request(b"A : b"), reasons.BAD_REQUEST),
        (request(b" folded"), reasons.BAD_REQUEST),
        (request(b"A: b\x00"), reasons.BAD_REQUEST),
        (request(b"A: b\rc"), reasons.BAD_REQUEST),
        (request(b"A\x01: b"), reasons.BAD_REQUEST),
        (request(b": b"), reasons.BAD_REQUEST),
        (request(b"A"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 1", b"Content-Length: 1"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 1, 1"), reasons.BAD_REQUEST),
        (request(b"Content-Length: +1"), reasons.BAD_REQUEST),
        (request(b"Content-Length: -1"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 0x1"), reasons.BAD_REQUEST),
        (request(b"Content-Length:"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 99999999999999999999"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 1", b"Transfer-Encoding: chunked"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: chunked", b"Content-Length: 1"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: gzip, chunked"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: chunked, gzip"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: identity"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
         reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: xchunked"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"), reasons.BAD_REQUEST),
        (request(start=b"CONNECT a HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"CONNECT / HTTP/1.1"), reasons.BAD_REQUEST),
        (request(start=b"CONNECT http://a:1/ HTTP/1.1"), reasons.BAD_REQUEST),
        (request(b"Content-Length: 1", start=b"CONNECT a:1 HTTP/1.1"), reasons.BAD_REQUEST),
        (request(b"Transfer-Encoding: chunked", start=b"CONNECT a:1 HTTP/1.1"),
         reasons.BAD_REQUEST),
        (request(b"Connection: upgrade", b"Upgrade: websocket"), reasons.UPGRADE_NOT_SUPPORTED),
        (request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"),
         reasons.UPGRADE_NOT_SUPPORTED),
        (request(b"A: " + b"x" * 65_536), reasons.HEAD_TOO_LARGE),
        (request(start=b"GET /" + b"x" * 65_536 + b" HTTP/1.1"), reasons.HEAD_TOO_LARGE),
        (request(*[b"A%d: b" % n for n in range(200)]), reasons.TOO_MANY_HEADERS),
        (b"\r\n" * 9 + GET, reasons.BAD_REQUEST),
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes, reason: Reason) -> None:
    at_once, slowly = read(data), Requests().feed(*cut(data, range(0, len(data), 97)))
    assert at_once.refused is reason
    assert slowly.refused is reason
    assert not at_once.heads


def test_after_a_connect_all_is_held_back() -> None:
    data = request(b"Proxy-Authorization: x", start=b"CONNECT b:1 HTTP/1.1") + GET
    for pieces in ([data], cut(data, range(0, len(data), 7))):
        sink = Requests()
        for piece in pieces:
            sink.reader.feed(piece)
        (head,) = sink.connects
        assert (head.authority, head.host.port, head.length) == (b"b:1", 1, 0)
        assert head.first(b"proxy-authorization") == b"x"
        assert sink.reader.held == GET and not sink.heads


@pytest.mark.parametrize(
    ("start", "authority", "path"),
    [
        (b"GET http://b/x?y HTTP/1.1", b"b", b"/x?y"),
        (b"GET HTTP://b:81 HTTP/1.1", b"b:81", b"/"),
        (b"GET http://b?y HTTP/1.1", b"b", b"/?y"),
        (b"OPTIONS http://b HTTP/1.1", b"b", b"*"),
        (b"OPTIONS * HTTP/1.1", b"a", b"*"),
        (b"GET //x HTTP/1.1", b"a", b"//x"),
        (b"GET http://[::1]:80/ HTTP/1.1", b"[::1]:80", b"/"),
    ],
)
def test_forms_of_the_target(start: bytes, authority: bytes, path: bytes) -> None:
    (head,) = read(request(start=start)).heads
    assert (head.authority, head.path) == (authority, path)


def test_a_host_is_lower_case_and_has_no_final_dot() -> None:
    (head,) = read(request(host=b"Host: Reviews.Default.:80")).heads
    assert head.host.host == "reviews.default"
    assert head.authority == b"Reviews.Default.:80"


def test_a_host_is_as_long_as_a_name_at_most() -> None:
    """Authorities are remembered: without a bound a client could fill the memory with them."""
    assert read(request(host=b"Host: " + b"a" * 255)).heads
    for host in (b"a" * 256, b"[" + b":" * 46 + b"]"):
        assert read(request(host=b"Host: " + host)).refused is reasons.BAD_REQUEST


def test_no_policy_may_ask_for_a_header_that_a_proxy_keeps_to_itself() -> None:
    noted = {name.decode() for name in heads._DROPPED}
    assert noted == UNSEEN_HEADERS


def test_what_wsgi_apps_would_take_for_a_header_of_ours_is_dropped() -> None:
    forged = (b"X_Forwarded-Client_Cert: URI=me", b"x_tulle_peer: me", b"X_Forwarded_For: 9.9.9.9")
    (head,) = read(request(*forged, b"Content_Length: 9", b"X_A: kept")).heads
    assert head.headers == [(b"x_a", b"kept")]
    assert (head.length, head.first(b"x-tulle-peer"), head.first(b"x-forwarded-for")) == (
        0,
        None,
        None,
    )


def test_http_1_0_may_lack_a_host_and_closes_unless_asked() -> None:
    first = read(b"GET / HTTP/1.0\r\n\r\n").heads[0]
    assert (first.minor, first.authority, first.keep_alive) == (0, b"", False)
    again = read(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").heads[0]
    assert again.keep_alive


def test_what_is_meant_for_this_hop_goes_no_further() -> None:
    (head,) = read(
        request(
            b"Connection: close, X-Hop, te",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic eDp5",
            b"TE: trailers",
            b"Trailer: X",
            b"Upgrade: h2c",
            b"X-Forwarded-Client-Cert: forged",
            b"X-Tulle-Peer: forged",
            b"x-tulle-anything: forged",
            b"X-Stays: 1",
        )
    ).heads
    assert head.headers == [(b"x-stays", b"1")]
    assert not head.keep_alive
    assert head.first(b"proxy-authorization") == b"Basic eDp5"
    assert head.first(b"x-tulle-peer") == b"forged"


def test_blanks_around_a_value_are_not_part_of_it() -> None:
    (head,) = read(request(b"A:  b \t", host=b"Host: a \t")).heads
    assert head.headers == [(b"a", b"b")]
    assert head.authority == b"a"


@pytest.mark.parametrize("lines", [0, 1, 8])
def test_a_few_empty_lines_before_a_request_are_ignored(lines: int) -> None:
    assert len(read(b"\r\n" * lines + GET).heads) == 1


def test_a_flood_of_empty_lines_is_refused_however_it_comes() -> None:
    assert Requests().feed(*[b"\r\n"] * 9).refused is reasons.BAD_REQUEST


def test_bodies() -> None:
    seen = read(
        request(b"Content-Length: 5", start=b"POST /1 HTTP/1.1")
        + b"hello"
        + request(b"Transfer-Encoding: chunked", start=b"POST /2 HTTP/1.1")
        + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
        + request(b"Content-Length: 0", start=b"POST /3 HTTP/1.1")
        + GET
    )
    assert seen.refused is None
    assert seen.bodies == [b"hello", b"abcde", b"", b""]
    assert [head.length for head in seen.heads] == [5, CHUNKED, 0, 0]
    assert [head.path for head in seen.heads] == [b"/1", b"/2", b"/3", b"/a?b=c"]
    assert all(b"trailer" not in name for head in seen.heads for name, _ in head.headers)


def test_no_further_request_is_parsed_before_the_answer() -> None:
    seen = Requests()
    seen.reader.feed(GET + GET + b"garbage")
    assert len(seen.heads) == 1
    assert seen.reader.held == GET + b"garbage"
    seen.reader.proceed()
    assert len(seen.heads) == 2
    seen.reader.proceed()
    assert seen.refused is reasons.BAD_REQUEST


def test_after_stop_nothing_is_read() -> None:
    seen = Requests()
    seen.reader.stop()
    assert not seen.feed(GET).heads


STREAM = (
    b"\r\n" + GET
    + request(b"Content-Length: 5", b"x-a: 1", b"X-A: 2", start=b"POST /1 HTTP/1.1")
    + b"he\r\no"
    + request(b"Transfer-Encoding: chunked", start=b"PUT /2 HTTP/1.1")
    + b"00003;a\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\nU: 2\r\n\r\n"
    + b"DELETE http://h/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    + GET
)  # fmt: skip


def seen_in(pieces: list[bytes]) -> list[object]:
    seen = Requests().feed(*pieces)
    return [
        (h.method, h.path, h.host, h.headers, h.keep_alive, request_head(h, []), body)
        for h, body in zip(seen.heads, seen.bodies, strict=True)
    ] + [seen.refused, seen.ended]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_how_bytes_are_split_into_reads_does_not_matter(cuts: list[int]) -> None:
    assert seen_in(cut(STREAM, cuts)) == seen_in([STREAM])


def test_byte_by_byte() -> None:
    assert seen_in(cut(STREAM, range(len(STREAM)))) == seen_in([STREAM])


def test_what_no_parser_sees_is_what_llhttp_lets_pass() -> None:
    """A head of known lines skips llhttp; of its first line we accept no more than llhttp does."""
    read(GET)  # the lines are known now
    for byte in range(256):
        start = b"GET /a%bb HTTP/1.1" % bytes([byte])
        data = GET.replace(b"GET /a?b=c HTTP/1.1", start)
        assert (read(data).refused is None) <= llhttp_accepts(data), start
        assert (read(data).refused is None) == (0x20 < byte < 0x7F and byte != 0x23), start
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"):
        assert llhttp_accepts(GET.replace(b"GET", method))


def llhttp_accepts(data: bytes) -> bool:
    try:
        httptools.HttpRequestParser(object()).feed_data(data)
    except httptools.HttpParserError:
        return False
    return True


_LINES = st.sampled_from(
    [
        b"Host: a", b"host: b", b"Content-Length: 3", b"Content-Length: 0", b"content-length: 3",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close",
        b"Connection: keep-alive", b"Connection: x-one", b"Connection: upgrade", b"Upgrade: h2c",
        b"X-One: 1", b"x-two:2", b"Bad : 1", b"X-Three: \x01", b"TE: trailers",
        b"Expect: 100-continue", b"x-request-id: 0af7-65", b"x-request-id:  0af7",
        b"x-request-id: ",
        b"traceparent: 00-4bf92f-00f067-01", b"traceparent: 00-4BF92F", b"X-Request-Id: 1",
    ]
)  # fmt: skip


_ANY_LINES = st.binary(min_size=1, max_size=8).filter(lambda line: b"\r\n" not in line)
_TRACE = b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
_OUR_IDS = [  # as a tracer writes them, and nearly so
    b"x-request-id: 8c26b3f4-2778-4a0a-8e5e-c68a138ed733\r\n" + _TRACE,
    b"x-request-id: 8c26b3f4-2778-4a0a-8e5e-c68a138ed733\r\n" + _TRACE.replace(b"a", b"0"),
    b"x-request-id: 8C26b3f4-2778-4a0a-8e5e-c68a138ed733\r\n" + _TRACE,
    _TRACE + b"\r\nx-request-id: 8c26b3f4-2778-4a0a-8e5e-c68a138ed733",
]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_LINES | _ANY_LINES | _ANY_LINES.map(lambda rest: b"X:" + rest), max_size=5),
    st.sampled_from([b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"GET http://b/c HTTP/1.1"]),
    st.lists(st.sampled_from(_OUR_IDS), max_size=2),
)
def test_lines_apart_are_read_as_whole_heads(
    lines: list[bytes], start: bytes, ids: list[bytes]
) -> None:
    data = b"\r\n".join([start, *lines, *ids, b"", b""])
    # Of a head in two reads llhttp sees all; in one, only the lines that it has not seen yet.
    parsed = seen_in([data[:9], data[9:]])
    for _ in range(3):  # the third time nothing is new
        *seen, refused, ended = seen_in([data])
        # Of several faults another one may be named.
        assert [*seen, refused is None, ended] == [*parsed[:-2], parsed[-2] is None, parsed[-1]]


def test_a_head_that_comes_again_goes_on_as_it_did() -> None:
    """Of a request from a proxy of the mesh all but the ids is known the third time."""
    data = request(b"X-Again: 1", b"x-tulle-peer: a-1", _OUR_IDS[0])
    first, *again = [read(data).heads[0] for _ in range(4)]
    assert all(head.ids for head in again)
    for head in again:
        assert request_head(head, [b"b: 2"]) == request_head(first, [b"b: 2"])
        assert head.first(b"x-tulle-peer") == b"a-1"


def test_what_becomes_of_one_head_does_not_touch_the_next() -> None:
    data = request(b"X-Kept: 1", b"X-Dropped: 2")
    for _ in range(4):
        head = read(data).heads[0]
        assert head.headers == [(b"x-kept", b"1"), (b"x-dropped", b"2")]
        head.drop({b"x-dropped"})
        head.replace([*head.headers, (b"x-more", b"3")])
        assert request_head(head, []).endswith(b"\r\nx-kept: 1\r\nx-more: 3\r\n\r\n")


def test_ids_at_the_end_are_not_the_only_ones() -> None:
    """Two traces are none: the tracer has to see both."""
    data = request(_TRACE, _OUR_IDS[0])
    for _ in range(4):
        head = read(data).heads[0]
        assert not head.ids
        assert len(head.noted[b"traceparent"]) == 2


def test_what_is_remembered_is_bounded() -> None:
    memo = Memo[int](keys=3, size=4)
    for number in range(10):
        memo.learn(b"%d" % number, number)
        memo.learn(b"too long", number)
        assert 1 <= len(memo.found) <= 3
        assert memo.found[b"%d" % number] == number
