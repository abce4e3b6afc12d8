"""Writes heads and local replies: each is one join, framing headers are always our own."""

from http import HTTPStatus
from typing import Final

from tulle.actors.proxy.wire.request_head import RequestHead, lines_of
from tulle.actors.proxy.wire.response_head import FAILED_HEADER, ResponseHead
from tulle.policies.reasons import CREDENTIAL_MISSING, REASON_HEADER, Reason

_LINE: Final = b"\r\n"
CHUNKED_LINE: Final = b"transfer-encoding: chunked\r\n"
CLOSE_LINE: Final = b"connection: close\r\n"
KEEP_ALIVE_LINE: Final = b"connection: keep-alive\r\n"
_WITHOUT_BODY: Final = frozenset({204, 304})
_STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d " % status for status in range(100, 1000)
} | {
    status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}


def request_head(head: RequestHead, added: list[bytes]) -> bytes:
    """The head to send upstream: origin form, one Host, framing as `head.length` says.

    `added`: more header lines. Ids are last, where the next proxy looks for them (`match_ids`).
    """
    start = b"%b %b HTTP/1.1\r\nhost: %b" % (head.method, head.path, head.authority)
    if head.length > 0 or head.sized:
        added.append(b"content-length: %d" % head.length)
    elif head.length:
        added.append(b"transfer-encoding: chunked")
    lines = lines_of(head.headers) if head.lines is None else head.lines
    if head.made:
        return _LINE.join((start, *added, *lines, head.made, b"", b""))
    return _LINE.join((start, *added, *lines, b"", b""))


def response_head(head: ResponseHead, framing: bytes, body: bytes = b"") -> bytes:
    """The head to send to the client, and the part of its body that is here already.

    `framing`: header lines of our own, each with its CRLF.
    """
    if head.joined:
        return b"%b%b\r\n%b" % (head.joined, framing, body)
    if head.declared is not None:
        framing = b"content-length: %d\r\n%b" % (head.declared, framing)
    return _LINE.join((_STATUS_LINES[head.status], *head.lines, framing, body))


def informational_head(head: ResponseHead) -> bytes:
    """A 1xx response, passed on."""
    return _LINE.join((_STATUS_LINES[head.status], *head.lines, b"", b""))


def local_reply(reason: Reason, framing: bytes, body: bool) -> bytes:
    """A whole answer of our own, saying why; `framing` as above; `body` False for HEAD."""
    return local_answer(reason.status, reason_lines(reason), reason_text(reason), framing, body)


def reason_lines(reason: Reason) -> list[bytes]:
    """The header lines of an answer that says why, without framing."""
    lines = [
        b"%b: %b" % (REASON_HEADER.encode(), reason.name.encode()),
        b"content-type: text/plain; charset=utf-8",
    ]
    if reason is CREDENTIAL_MISSING:
        lines.append(b'proxy-authenticate: Basic realm="tulle"')
    return lines


def failed_line(reason: Reason) -> bytes:
    """The line that tells the proxy which asked why the app did not answer."""
    return b"%b: %b" % (FAILED_HEADER, reason.name.encode())


def reason_text(reason: Reason) -> bytes:
    """The body of an answer that says why."""
    return f"{reason.sentence}\n".encode()


def local_answer(status: int, lines: list[bytes], text: bytes, framing: bytes, body: bool) -> bytes:
    """A whole answer of our own: header lines, and a body unless `body` is False (HEAD).

    Statuses that never have a body get none.
    """
    if status in _WITHOUT_BODY:
        return _LINE.join([_STATUS_LINES[status], *lines, framing, b""])
    length = b"content-length: %d" % len(text)
    return _LINE.join([_STATUS_LINES[status], *lines, length, framing, text if body else b""])
