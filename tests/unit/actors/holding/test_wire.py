"""Messages on the holder's socket, as bytes."""

import pytest

from tulle.actors.holding import wire


def test_a_message_is_a_line_and_comes_back() -> None:
    message = {"op": "state", "state": "ready", "detail": "two\nlines"}
    line = wire.encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert wire.decode(line) == message


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"op": null}', b'{"op": ["x"]}', b"\xff"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(line)


def test_a_line_over_the_limit_is_refused() -> None:
    with pytest.raises(wire.WireError, match="65536 are allowed"):
        wire.encode({"detail": "x" * wire.LINE_LIMIT})


def test_fields_are_of_their_type() -> None:
    assert wire.number({"id": 3}, "id") == 3
    assert wire.text({"op": "x"}, "op") == "x"
    for message in ({}, {"id": "3"}, {"id": True}):
        with pytest.raises(wire.WireError, match="'id'"):
            wire.number(message, "id")
    with pytest.raises(wire.WireError, match="'op'"):
        wire.text({"op": 3}, "op")


def test_a_path_ends_at_107_bytes() -> None:
    wire.check_path("/" + "x" * 106)
    with pytest.raises(ValueError, match="107 bytes"):
        wire.check_path("/" + "x" * 107)
