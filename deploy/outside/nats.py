"""A NATS that others run, in the place of bus.server.NatsServer: users for it, and whether it fits.

Whoever runs it has given it what `config.py` prints. Our keys stay here (`nats/keys.json`); the
server only knows their public halves.
"""

import asyncio
from dataclasses import replace
from typing import Final, Protocol

from tulle.bus.connection import Connection, connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import BusError, ConnectFailed, NoAnswer, NobodyListens
from tulle.bus.issuer import Issuer, KeysDamaged, write_ca
from tulle.bus.permissions import Role, rights
from tulle.bus.server import NatsServer
from tulle.bus.subjects import Bucket, Subjects
from tulle.deploy.errors import Failure, NoMesh
from tulle.deploy.home import Home
from tulle.deploy.outside.options import Outside

CONNECT_SECONDS: Final = 5.0


class Nats(Protocol):
    """What the watcher asks of a NATS, embedded or not."""

    @property
    def url(self) -> str:
        """Where clients connect; known once started."""

    @property
    def pid(self) -> int | None:
        """Of the server, if it is a child of ours that runs."""

    def credentials(self, role: Role) -> Credentials:
        """The user of a role, once started."""

    async def start(self) -> None:
        """Returns when it takes clients. Raises `ServerFailed`, `Failure`."""

    async def stop(self) -> None:
        """Ends it, if it is ours."""

    async def wait(self) -> int:
        """Waits until it has ended and is to be started again; its exit status."""


def nats_of(outside: Outside, home: Home, subjects: Subjects) -> Nats:
    """The NATS of a mesh: that of `outside`, else one of our own."""
    if outside.nats:
        return OutsideNats(outside, home, subjects)
    write_ca(home.nats, "")
    return NatsServer(home.nats, home.creds, subjects)


def write_users(home: Home, subjects: Subjects, outside: Outside) -> dict[Role, Credentials]:
    """Writes `creds/<role>.json`, with the keys that are there already, made with those of NATS.

    Raises `FileNotFoundError` without keys of NATS, `KeysDamaged`, `OSError`.
    """
    write_ca(home.nats, outside.ca)
    issuer = Issuer.load(home.nats)
    users = {}
    for role in Role:
        path = home.creds / f"{role.value}.json"
        users[role] = issuer.renewed(path, outside.nats, role.value, rights(role, subjects))
        users[role].write(path)
    users[Role.OPERATOR].write_creds(home.creds / f"{Role.OPERATOR.value}.creds")
    return users


class OutsideNats:
    """Never started or stopped by us: `start` looks whether it is there, and what it lacks."""

    pid = None

    def __init__(self, outside: Outside, home: Home, subjects: Subjects) -> None:
        self._outside = outside
        self._home = home
        self._subjects = subjects
        self._users: dict[Role, Credentials] = {}

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self._outside.nats

    def credentials(self, role: Role) -> Credentials:
        """The user of a role, once started."""
        return replace(self._users[role])

    async def start(self) -> None:
        """Writes the users' files and tries one. Raises `Failure`."""
        try:
            self._users = write_users(self._home, self._subjects, self._outside)
        except FileNotFoundError:
            raise Failure(
                f"{self._home.nats} has no keys that a NATS could know: say `tulle up --nats "
                f"{self.url} --print-nats-config > nats.conf`, start `nats-server -c nats.conf`"
            ) from None
        except (KeysDamaged, OSError) as error:
            raise Failure(str(error)) from error
        await self._try()

    async def stop(self) -> None:
        """It is not ours to end."""

    async def wait(self) -> int:
        """It is not ours to start again: waits for ever."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody ends this wait")

    async def _try(self) -> None:
        who = self._users[Role.EVALUATOR]
        try:
            connection = await connect(
                self.url, who, name="tulle-up", first_timeout=CONNECT_SECONDS
            )
        except ConnectFailed as error:
            raise NoMesh(f"{error}; {self._advice(error)}") from error
        except BusError as error:
            raise Failure(f"{error}: NATS at {self.url} can't be used") from error
        async with connection:
            await self._try_jetstream(connection)

    async def _try_jetstream(self, connection: Connection) -> None:
        stream = self._subjects.stream(Bucket.POLICIES)
        try:
            # Whether that stream is there or not: JetStream says so.
            await connection.request(f"$JS.API.STREAM.INFO.{stream}")
        except (NobodyListens, NoAnswer) as error:
            raise Failure(
                f"NATS at {self.url} has no JetStream for this mesh: start it with the `jetstream` "
                "block that `tulle up --print-nats-config` prints"
            ) from error
        except BusError as error:
            raise Failure(f"{error}: NATS at {self.url} can't be used") from error

    def _advice(self, error: ConnectFailed) -> str:
        if "refused" in error.reason and "user" in error.reason:
            return (
                "the server does not know the keys of this mesh: start it with what `tulle up "
                "--print-nats-config` prints now"
            )
        if "certificate" in error.reason:
            return "say with --nats-ca FILE whom to trust, and use a name that it is issued for"
        if "TLS" in error.reason:
            return "give the server a certificate (`tls` in its configuration)"
        return "is it started? `tulle up --print-nats-config` prints its configuration"
