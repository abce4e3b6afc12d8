"""The embedded nats-server: what it leaves on disk, where it listens, how it fails."""

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from tests.support.nats import serve_bus
from tulle.bus.connection import connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import ConnectFailed, ServerFailed
from tulle.bus.issuer import Issuer, push, revoke
from tulle.bus.permissions import Rights, Role, RunnerUser, rights
from tulle.bus.server import NatsServer, serve
from tulle.bus.subjects import Subjects

SUBJECTS = Subjects("test")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def listening(pid: int) -> set[str]:
    """The local addresses, in hex, on which a process listens."""
    held = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [
        row.split()
        for family in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
    ]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held}


@pytest.mark.asyncio
async def test_it_leaves_secrets_to_its_owner_alone(tmp_path: Path) -> None:
    folder, creds = tmp_path / "nats", tmp_path / "creds"
    async with serve(folder, creds, SUBJECTS) as server:
        assert mode(folder) == mode(creds) == 0o700
        assert mode(folder / "nats.json") == 0o600
        assert mode(folder / "keys.json") == 0o600
        names = {f"{role.value}.json" for role in Role}
        assert {path.name for path in creds.iterdir()} == names | {"operator.creds"}
        seeds = set()
        for path in creds.iterdir():
            assert mode(path) == 0o600
        for role in Role:
            credentials = Credentials.read(creds / f"{role.value}.json")
            assert (credentials.url, credentials.user) == (server.url, role)
            assert credentials.seed not in (folder / "nats.json").read_text()
            seeds.add(credentials.seed)
        assert len(seeds) == len(Role)


@pytest.mark.asyncio
async def test_it_listens_on_loopback_alone() -> None:
    async with serve_bus() as bus:
        assert bus.server.pid is not None
        assert listening(bus.server.pid) == {"0100007F"}


@pytest.mark.asyncio
async def test_it_lets_nobody_in_without_a_user() -> None:
    async with serve_bus() as bus:
        host, port = bus.server.url.removeprefix("nats://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.readline()
        writer.write(b"CONNECT {}\r\nPING\r\n")
        assert b"Authorization Violation" in await reader.readline()
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_a_restart_keeps_port_and_users(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", tmp_path / "creds", SUBJECTS)
    await server.start()
    # A JWT says when it was signed: the user is its key.
    before = server.url, server.pid, server.credentials(Role.RUNNER)
    await server.restart()
    try:
        assert (server.url, server.credentials(Role.RUNNER).seed) == (before[0], before[2].seed)
        assert server.pid not in (None, before[1])
        async with await connect(server.url, before[2], name="test") as connection:
            assert connection.connected
        with pytest.raises(RuntimeError, match="runs already"):
            await server.start()
    finally:
        await server.stop()
    assert server.pid is None
    await server.stop()


@pytest.mark.asyncio
async def test_the_next_server_of_a_folder_has_port_and_users_of_the_one_before(
    tmp_path: Path,
) -> None:
    folder, creds = tmp_path / "nats", tmp_path / "creds"
    async with serve(folder, creds, SUBJECTS) as first:
        before = {role: first.credentials(role).key.public for role in Role}
        client = await connect(first.url, first.credentials(Role.OPERATOR), name="outlives it")
    (creds / f"{Role.RUNNER}.json").write_bytes(b"{")
    async with serve(folder, creds, SUBJECTS) as second:
        after = {role: second.credentials(role).key.public for role in Role}
        async with asyncio.timeout(10), client:
            while not client.connected:  # noqa: ASYNC110 - with what it had
                await asyncio.sleep(0.01)

    assert second.url == first.url
    assert {role for role in Role if before[role] != after[role]} == {Role.RUNNER}  # it was broken


@pytest.mark.asyncio
async def test_a_port_that_was_lost_to_another_is_given_up(tmp_path: Path) -> None:
    folder, creds = tmp_path / "nats", tmp_path / "creds"
    async with serve(folder, creds, SUBJECTS) as first:
        pass
    with socket.create_server(("127.0.0.1", first.port)):
        async with serve(folder, creds, SUBJECTS) as second:
            assert second.port != first.port


@pytest.mark.asyncio
async def test_who_watches_it_hears_of_its_death(tmp_path: Path) -> None:
    async with serve(tmp_path / "nats", tmp_path / "creds", SUBJECTS) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.wait(), 5) == -signal.SIGKILL
        assert server.pid is None
        url = server.url
        await server.start()
        assert server.url == url


@pytest.mark.asyncio
async def test_a_server_that_hangs_is_killed(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", tmp_path / "creds", SUBJECTS)
    await server.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop(0.1)
    assert await server.wait() == -signal.SIGKILL


@pytest.mark.asyncio
async def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = NatsServer(tmp_path / "nats", tmp_path / "creds", SUBJECTS, port=port)
        with pytest.raises(ServerFailed, match="ended at once with status 1") as failed:
            await server.start()
    assert "address already in use" in str(failed.value)
    assert failed.value.log == str(tmp_path / "nats" / "nats.log")
    assert len(failed.value.output) <= 4096
    assert server.pid is None


@pytest.mark.asyncio
async def test_a_jwt_signed_by_others_lets_nobody_in(tmp_path: Path) -> None:
    async with serve(tmp_path / "nats", tmp_path / "creds", SUBJECTS) as server:
        (tmp_path / "other").mkdir()
        other = Issuer.make(tmp_path / "other")
        forged = other.credentials(server.url, "operator", Rights((">",), (">",)))
        with pytest.raises(ConnectFailed, match="'operator' was refused"):
            await connect(server.url, forged, name="test")


@pytest.mark.asyncio
@pytest.mark.parametrize("file", ["keys.json", "revoked.json"])
async def test_damaged_keys_are_said_and_not_replaced(tmp_path: Path, file: str) -> None:
    async with serve(tmp_path / "nats", tmp_path / "creds", SUBJECTS):
        pass
    (tmp_path / "nats" / file).write_text("garbage")
    with pytest.raises(ServerFailed, match=file):
        await NatsServer(tmp_path / "nats", tmp_path / "creds", SUBJECTS).start()
    assert (tmp_path / "nats" / file).read_text() == "garbage"


@pytest.mark.asyncio
async def test_a_revoked_user_is_out_at_once_and_stays_out(tmp_path: Path) -> None:
    folder = tmp_path / "nats"
    async with serve(folder, tmp_path / "creds", SUBJECTS) as server:
        issuer = Issuer.load(folder)
        user = RunnerUser("x", "default", "a")
        who = issuer.credentials(server.url, user.name, rights(user, SUBJECTS))
        staying = await connect(server.url, server.credentials(Role.RUNNER), name="stays")
        client = await connect(server.url, who, name="revoked")
        lost = asyncio.Event()
        client.on_disconnect(lost.set)
        await push(issuer, SUBJECTS.mesh, server.url, revoke(folder, who.key.public))
        await asyncio.wait_for(lost.wait(), 5)
        assert staying.connected
        await client.close()
        await staying.close()
        with pytest.raises(ConnectFailed, match="'runner-x' was refused"):
            await connect(server.url, who, name="again")
        await server.restart()
        with pytest.raises(ConnectFailed, match="'runner-x' was refused"):
            await connect(server.url, who, name="again")
