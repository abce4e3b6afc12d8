"""Frames of a tunnel: what is written is read again, however it is cut, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.wire_sinks import cut
from tulle.actors.proxy.wire.frames import (
    END,
    GREETING_BYTES,
    FrameError,
    FrameReader,
    Greeting,
    frame,
    frame_head,
    split_greeting,
)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
def test_what_is_framed_comes_out_however_it_is_cut(
    pieces: list[bytes], at: list[int], ends: bool
) -> None:
    written = b"".join(frame(piece) for piece in pieces) + (END if ends else b"")
    reader = FrameReader()
    read = [piece for part in cut(written, at) for piece in reader.feed(part)]
    assert b"".join(read) == b"".join(pieces) and all(read)
    assert reader.ended is ends


def test_the_length_goes_before() -> None:
    assert frame(b"hello") == b"\0\0\0\5hello" == frame_head(5) + b"hello"


def test_nothing_may_follow_the_end() -> None:
    with pytest.raises(FrameError, match="after the end"):
        FrameReader().feed(END + b"\0")


@pytest.mark.parametrize("idle", [0.0, 0.25, 3_600.0])
def test_a_greeting_says_who_and_for_how_long(idle: float) -> None:
    greeting = Greeting("sleep-v1-abcde", idle)
    assert split_greeting(frame(greeting.encode()) + b"more") == (greeting.encode(), b"more")
    assert Greeting.decode(greeting.encode()) == greeting


def test_a_greeting_that_is_not_complete_is_waited_for() -> None:
    whole = frame(Greeting("sleep", 1).encode())
    assert {split_greeting(whole[:n]) for n in range(len(whole))} == {None}


@pytest.mark.parametrize("data", [END, frame_head(GREETING_BYTES + 1), b"GET "])
def test_a_greeting_has_a_bound(data: bytes) -> None:
    with pytest.raises(FrameError):
        split_greeting(data)


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"x ", b"x -1", b"x 1.5", b"x 99999999999", b"x" * 301 + b" 1"]
)
def test_what_is_no_greeting_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        Greeting.decode(payload)
