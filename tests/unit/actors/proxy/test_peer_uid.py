"""What the kernel is asked about a peer, how its answers are read, and whom a check admits."""

import errno
import logging
import socket
import struct
from typing import cast

import pytest

from tulle.actors.proxy.peer_uid import (
    LOG_SECONDS,
    NO_PEER,
    LookUpFailed,
    Owned,
    PeerCheck,
    question,
    read_answer,
)

PEER, OURS = ("127.0.0.1", 40_000), ("127.0.0.2", 15_001)
ASKED = question(PEER, OURS, 7)
HEADER = struct.Struct("=IHHII")
NOTHING = cast(socket.socket, None)


def answer(
    uid: int = 1000,
    inode: int = 55,
    state: int = 1,
    ports: tuple[int, int] = (40_000, 15_001),
    sequence: int = 7,
) -> bytes:
    """An `inet_diag_msg` as the kernel writes it."""
    body = struct.pack("=BBBB", socket.AF_INET, state, 0, 0)
    body += struct.pack("!HH", *ports) + bytes(44) + struct.pack("=IIIII", 0, 0, 0, uid, inode)
    return HEADER.pack(HEADER.size + len(body), 20, 0, sequence, 0) + body


def refusal(code: int) -> bytes:
    """An `nlmsgerr`."""
    return HEADER.pack(36, 2, 0, 7, 0) + struct.pack("=i", -code) + ASKED[:16]


def test_a_question_has_the_layout_of_inet_diag_req_v2() -> None:
    length, kind, flags, sequence, port = HEADER.unpack_from(ASKED)
    assert (length, kind, flags, sequence, port) == (len(ASKED), 20, 1, 7, 0) and length == 72
    assert struct.unpack_from("=BBBBI", ASKED, 16) == (socket.AF_INET, 6, 0, 0, 0xFFFF_FFFF)
    assert struct.unpack_from("!HH", ASKED, 24) == (40_000, 15_001)
    assert ASKED[28:32] == bytes([127, 0, 0, 1]) and ASKED[44:48] == bytes([127, 0, 0, 2])
    assert ASKED[60:] == bytes(4) + b"\xff" * 8


def test_ipv6_is_asked_as_such_and_mapped_ipv4_as_ipv4() -> None:
    six = question(("::1", 1), ("::1", 2), 1)
    assert six[16] == socket.AF_INET6 and six[28:60] == (bytes(15) + b"\1") * 2
    mapped = question(("::ffff:127.0.0.1", 40_000), ("::ffff:127.0.0.2", 15_001), 7)
    assert mapped == ASKED


def test_an_answer_tells_state_uid_and_inode() -> None:
    assert read_answer(answer(), ASKED) == Owned(state=1, uid=1000, inode=55)


def test_no_such_socket_is_no_failure() -> None:
    assert read_answer(refusal(errno.ENOENT), ASKED) is None


def test_a_listener_on_the_port_of_the_peer_is_not_the_peer() -> None:
    assert read_answer(answer(ports=(40_000, 0), state=10), ASKED) is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (refusal(errno.EPERM), "EPERM"),
        (answer(sequence=6), "another question"),
        (answer()[:40], "short"),
        (b"", "short"),
        (HEADER.pack(16, 3, 0, 7, 0), "no answer"),
    ],
)
def test_anything_else_fails(wrong: bytes, why: str) -> None:
    with pytest.raises(LookUpFailed, match=why):
        read_answer(wrong, ASKED)


class Kernel:
    """Says `uid`, or fails as told. `problems`: what a check said."""

    def __init__(self) -> None:
        self.uid = 1000
        self.failure = ""
        self.now = 100.0
        self.problems: list[str] = []
        self.check = PeerCheck(1000, self.look_up, self.problems.append, lambda: self.now)

    def look_up(self, connection: socket.socket) -> int:
        if self.failure:
            raise LookUpFailed(self.failure)
        return self.uid


def test_the_uid_alone_is_admitted() -> None:
    kernel = Kernel()
    assert kernel.check(NOTHING)
    for uid in (0, 1001, NO_PEER):
        kernel.uid = uid
        assert not kernel.check(NOTHING)
    assert kernel.check.refused == 2, "who has left already is not counted"


def test_what_cannot_be_told_is_refused_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    kernel = Kernel()
    kernel.failure = "no netlink"
    assert not any(kernel.check(NOTHING) for _ in range(3))
    assert len(caplog.records) == 1 and "no netlink" in caplog.text
    assert len(kernel.problems) == 1 and kernel.problems[0] == kernel.check.problem
    assert "no netlink" in kernel.check.problem
    kernel.failure = ""
    assert kernel.check(NOTHING)
    assert kernel.problems[1:] == [""], "and taken back when it works again"


def test_refusals_are_logged_at_most_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    kernel = Kernel()
    kernel.uid = 65_534
    for _ in range(5):
        kernel.check(NOTHING)
    assert [record.getMessage() for record in caplog.records] == [
        "refused: uid=65534 is not uid=1000; connections=1"
    ]
    kernel.now += LOG_SECONDS
    kernel.check(NOTHING)
    assert caplog.records[-1].getMessage().endswith("connections=5")
    assert len(caplog.records) == 2 and kernel.check.refused == 6
