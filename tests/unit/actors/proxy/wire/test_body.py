"""The chunked coding, as we read and write it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire_sinks import cut
from tulle.actors.proxy.wire.body import LAST_CHUNK, ChunkReader, chunk_head
from tulle.actors.proxy.wire.head import Refused


def decode(*pieces: bytes) -> tuple[bytes, bytes | None]:
    """The body, and what came after it (None: it goes on)."""
    reader = ChunkReader()
    body = b""
    rest: bytes | None = None
    for piece in pieces:
        if rest is None:
            data, rest = reader.feed(piece)
            body += data
        else:
            rest += piece
    return body, rest


@pytest.mark.parametrize(
    "coded",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n",
        b"0005\r\nhello\r\n000\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\nC:d\r\n\r\n",
    ],
)
def test_decoded(coded: bytes) -> None:
    assert decode(coded + b"next") == (b"hello", b"next")


@pytest.mark.parametrize(
    "coded",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"1\n a\r\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"1\r\na\n\r\n",
        b"1234567890123456\r\n",
        b"1;a\x00\r\na\r\n",
        b"1;" + b"x" * 256 + b"\r\na\r\n",
        b"1;" + b"x" * 300,
        b"1;aaaa" * 300,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 3000,
        b"0\r\nA: " + b"b" * 9000,
        b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 200,
    ],
)
def test_refused(coded: bytes) -> None:
    with pytest.raises(Refused):
        decode(coded)
    with pytest.raises(Refused):
        decode(*cut(coded, range(len(coded))))


def test_a_body_that_goes_on() -> None:
    assert decode(b"5\r\nhel") == (b"hel", None)
    assert decode(b"5\r\nhello\r\n0\r\n\r") == (b"hello", None)


def test_a_large_chunk_is_not_copied() -> None:
    reader = ChunkReader()
    reader.feed(b"fffff\r\n")
    piece = b"x" * 65_536
    assert reader.feed(piece)[0] is piece


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=20), max_size=6),
    st.lists(st.integers(1, 200), max_size=8),
)
def test_what_is_written_is_read_however_it_is_split(parts: list[bytes], cuts: list[int]) -> None:
    coded = b"".join(chunk_head(len(part)) + part + b"\r\n" for part in parts) + LAST_CHUNK
    assert decode(*cut(coded + b"rest", cuts)) == (b"".join(parts), b"rest")
