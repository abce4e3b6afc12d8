"""Steers new connections within a group of SO_REUSEPORT sockets, by classic BPF; the group's order.

Counterpart: actors.holding.group, which owns the sockets. The kernel runs the program on each SYN
and gives the connection to the socket whose index the program returns (socket(7),
SO_ATTACH_REUSEPORT_CBPF); no privilege is needed. Without a program it picks by a hash over all.
"""

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# asm-generic/socket.h; Python names neither.
_SO_ATTACH_REUSEPORT_CBPF = 51
_SO_DETACH_REUSEPORT_BPF = 68

# linux/bpf_common.h and linux/filter.h.
_LD_W_ABS = 0x20
_ALU_MOD_K = 0x94
_JMP_JEQ_K = 0x15
_RET_K = 0x06
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM: 32 random bits instead of packet data

MAX_TARGETS = 1_000  # two instructions each, of the kernel's 4,096

_INSTRUCTION = struct.Struct("=HBBI")
_TCP_INFO_UNACKED = 24  # tcp_info: for a listening socket, connections ready for accept()


def pick_among(indexes: Sequence[int]) -> bytes:
    """The program that returns one of `indexes` (of sockets in the group), each as likely.

    Raises ValueError for none, or for more than MAX_TARGETS.
    """
    if not 0 < len(indexes) <= MAX_TARGETS:
        raise ValueError(f"{len(indexes)} sockets to steer to: 1 to {MAX_TARGETS} are possible")
    code = [_INSTRUCTION.pack(_LD_W_ABS, 0, 0, _RANDOM)]
    code.append(_INSTRUCTION.pack(_ALU_MOD_K, 0, 0, len(indexes)))
    for turn, index in enumerate(indexes):
        code.append(_INSTRUCTION.pack(_JMP_JEQ_K, 0, 1, turn))
        code.append(_INSTRUCTION.pack(_RET_K, 0, 0, index))
    code.append(_INSTRUCTION.pack(_RET_K, 0, 0, indexes[0]))  # never reached; must end in RET
    return b"".join(code)


def attach(sock: socket.socket, program: bytes) -> None:
    """Puts `program` in force for the whole group of the listening socket `sock`, at once."""
    code = ctypes.create_string_buffer(program, len(program))
    count = len(program) // _INSTRUCTION.size
    sock_fprog = struct.pack("@HP", count, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, sock_fprog)


def detach(sock: socket.socket) -> None:
    """Back to the kernel's hash over the whole group. Raises OSError when none is attached."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_REUSEPORT_BPF, 0)


def queued(sock: socket.socket) -> int:
    """How many connections wait in the accept queue of the listening socket `sock`."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_UNACKED + 4)
    length: int = struct.unpack_from("=I", info, _TCP_INFO_UNACKED)[0]
    return length


def order_without(order: Sequence[T], leaving: T) -> list[T]:
    """The kernel's order of a group after `leaving` has left: the last one moves into its hole."""
    rest = list(order)
    hole = rest.index(leaving)
    rest[hole] = rest[-1]
    rest.pop()
    return rest
