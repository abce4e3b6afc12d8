"""The app's process: its environment, its own process group, its signals, its end.

The app dies with `tulle run` (PR_SET_PDEATHSIG): it must not go on without its sidecar.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence

from tulle.deploy.errors import Failure

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
# Each would lead some client past the sidecar, whatever http_proxy says.
_INHERITED = ("http_proxy", "all_proxy", "no_proxy")

_libc = ctypes.CDLL(None, use_errno=True)


def environment(
    inherited: Mapping[str, str], workload: str, proxy: str, ports: Mapping[str, str]
) -> dict[str, str]:
    """The app's environment: its workload's id, and `proxy` (a URL) for plain HTTP.

    In both cases: curl reads only the lower one, others only the upper. Node reads them since 24,
    when told to. Java has no option for a proxy's credentials (tried: http.proxyUser is ignored).
    """
    env = {key: value for key, value in inherited.items() if key.lower() not in _INHERITED}
    for name, value in (("http_proxy", proxy), ("no_proxy", "localhost,127.0.0.1")):
        env[name] = env[name.upper()] = value
    return env | {"NODE_USE_ENV_PROXY": "1", "TULLE_WORKLOAD": workload} | dict(ports)


def reserve_port(number: int) -> socket.socket:
    """A socket bound to 127.0.0.1:`number` (0: a free one), so that nobody else takes the app's
    port before it starts. Raises `Failure` when somebody listens there already."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", number))
    except OSError as error:
        sock.close()
        raise Failure(
            f"port {number} for the app: {os.strerror(error.errno or 0).lower()}; "
            "end what listens there, or let a free one be picked with --port 0:SERVICE"
        ) from None
    return sock


class App:
    """A running app."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Starts it. Raises `Failure` when that can't be."""
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            # No asyncio subprocess: its watcher would reap the child, and the pid be free.
            self._process = subprocess.Popen(
                command, env=dict(env), process_group=0, preexec_fn=die_with_parent
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Failure(
                f"can't start {command[0]!r}: {why}; is it a program, and on the PATH?"
            ) from None
        self.pid = self._process.pid

    async def exited(self) -> int:
        """Waits for its end; the status as a shell says it."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(self.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._status()

    def stopped_by(self) -> int:
        """The signal that has stopped it since this was asked last; 0: none."""
        if self._process.returncode is not None:
            return 0
        try:
            result = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:  # it has ended, and what has ended can't be stopped
            return 0
        return result.si_status if result is not None else 0

    def send(self, number: int) -> None:
        """Sends a signal to the whole group; nothing once it was reaped."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Ends the whole group at once, if anything of it is left."""
        self.send(signal.SIGKILL)
        self.reap()

    async def sweep(self, seconds: float) -> None:
        """Ends what is left in the group after the app's own end; SIGKILL after `seconds`."""
        if self._others():
            self.send(signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + seconds
        while self._others():
            if asyncio.get_running_loop().time() > deadline:
                self.send(signal.SIGKILL)
            await asyncio.sleep(_POLL_SECONDS)
        self.reap()

    def reap(self) -> None:
        """Forgets the ended app: from now on its number may be anybody's."""
        self._process.wait()

    def _status(self) -> int:
        # Not reaped before the group is swept: until then nobody else gets its number.
        result = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        assert result is not None  # its pidfd said so
        killed = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        return 128 + result.si_status if killed else result.si_status

    def _others(self) -> bool:
        return any(
            group == self.pid and pid != self.pid and state not in "ZX"
            for pid, state, group in _every_process()
        )


def _every_process() -> list[tuple[int, str, int]]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, _, group, *_ = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(name), state, int(group)))
    return found
