"""The processes of a mesh and what they listen on, from /proc: nobody needs to be asked."""

import contextlib
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

# Of 127.0.0.0/8, as such or mapped to IPv6; each word with its bytes turned round.
_LOOPBACK = re.compile(r"(0{16}FFFF0000)?.{6}7F:.{4}")


def processes_of(home: Path) -> dict[int, str]:
    """Command lines by pid of what has `home` in its environment or arguments."""
    found = dict(_processes())
    return {pid: line for pid, (line, all_of_it) in found.items() if str(home) in all_of_it}


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process hangs while the block runs: it keeps its sockets and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _processes() -> Iterator[tuple[int, tuple[str, str]]]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
            yield int(folder.name), (line, line + environment)


def _sockets_of(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = os.readlink(descriptor)
                if name.startswith("socket:["):
                    yield name[len("socket:[") : -1]


def listening_of(pids: Iterable[int]) -> list[str]:
    """Addresses of listening TCP sockets of these processes, as /proc has them."""
    inodes = {inode for pid in pids for inode in _sockets_of(pid)}
    return [address for inode, address in _listening() if inode in inodes]


def is_loopback(address: str) -> bool:
    """Whether an address, as `listening_of` gives it, is of 127.0.0.0/8."""
    return _LOOPBACK.fullmatch(address) is not None


def _listening() -> Iterator[tuple[str, str]]:
    """(inode, address:port in hexadecimal, as /proc has it) of listening sockets."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
            if state == "0A":
                yield inode, local
