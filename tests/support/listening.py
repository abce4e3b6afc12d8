"""Which sockets processes listen on, read from /proc: nobody needs to be asked."""

import ipaddress
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path

_LISTEN = "0A"


def listening(pids: Iterable[int]) -> set[tuple[int, str, int]]:
    """(pid, address, port) of every TCP socket, v4 or v6, that one of `pids` listens on."""
    by_inode = {
        inode: (address, port)
        for table in ("tcp", "tcp6")
        for inode, address, port in _listeners(Path(f"/proc/net/{table}"))
    }
    return {(pid, *by_inode[inode]) for pid in pids for inode in _sockets(pid) if inode in by_inode}


def _listeners(table: Path) -> Iterable[tuple[str, str, int]]:
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN:
            address, port = fields[1].split(":")
            yield fields[9], _address(address), int(port, 16)


def _address(text: str) -> str:
    """The kernel prints an address as words of 32 bits in the machine's byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    found = set()
    folder = f"/proc/{pid}/fd"
    for descriptor in os.listdir(folder):
        try:
            target = os.readlink(f"{folder}/{descriptor}")
        except FileNotFoundError:  # closed meanwhile
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            found.add(match[1])
    return found
