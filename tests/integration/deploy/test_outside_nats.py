"""A nats-server with TLS that others run: started with what is printed it does, and what it lacks
is said in a sentence.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.web_ca import WebCA
from tulle.bus.connection import connect
from tulle.bus.credentials import Credentials
from tulle.bus.errors import ConnectFailed
from tulle.bus.issuer import Issuer, push, revoke
from tulle.bus.jetstream import open_store
from tulle.bus.permissions import Role, RunnerUser, rights
from tulle.bus.server import find_binary
from tulle.bus.subjects import Bucket, Subjects
from tulle.deploy.errors import Failure, NoMesh
from tulle.deploy.home import Home
from tulle.deploy.outside import config
from tulle.deploy.outside.nats import OutsideNats
from tulle.deploy.outside.options import Outside

MESH = "m"
SUBJECTS = Subjects(MESH)


@dataclass(frozen=True)
class Theirs:
    """A server of others, and our folder."""

    outside: Outside
    where: Home

    @property
    def nats(self) -> OutsideNats:
        return OutsideNats(self.outside, self.where, SUBJECTS)


@pytest.fixture
def home() -> Iterator[Home]:
    folder = Path(tempfile.mkdtemp(prefix="to-", dir="/tmp"))
    yield Home(folder / MESH)
    shutil.rmtree(folder)


@contextmanager
def server(
    home: Home,
    change: Callable[[str], str] = lambda text: text,
    *,
    scheme: str = "tls",
    name: str = "127.0.0.1",
) -> Iterator[Theirs]:
    """A nats-server on a free port, started with the printed configuration, changed."""
    folder = home.root.parent / "theirs"
    folder.mkdir()
    ca = WebCA()
    certificate, key, _ = ca.files(folder, name)
    Path(certificate).rename(folder / config.CERTIFICATE)
    Path(key).rename(folder / config.KEY)
    text = change(config.printed(home, MESH, Outside(f"{scheme}://127.0.0.1:4222", ca.ca_pem)))
    ports = f"port: -1\nports_file_dir: {folder}"
    (folder / "nats.conf").write_text(text.replace("port: 4222", ports))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            (find_binary(), "-c", "nats.conf"), cwd=folder, stdout=log, stderr=log
        )
    try:
        yield Theirs(Outside(f"tls://127.0.0.1:{_port(folder)}", ca.ca_pem), home)
    finally:
        process.terminate()
        process.wait()


def _port(folder: Path) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for file in folder.glob("*.ports"):
            if found := re.search(r'"(?:nats|tls)://127\.0\.0\.1:(\d+)', file.read_text()):
                return int(found[1])
        time.sleep(0.02)
    raise AssertionError((folder / "log").read_text())


@asynccontextmanager
async def connected(user: Credentials) -> AsyncIterator[None]:
    async with await connect(user.url, user, name="test", first_timeout=3):
        yield


@pytest.mark.asyncio
async def test_a_server_with_what_is_printed_does(home: Home) -> None:
    with server(home) as theirs:
        nats = theirs.nats
        await nats.start()
        assert nats.pid is None
        user = Credentials.read(home.creds / "evaluator.json")
        assert (user.url, user.ca) == (theirs.outside.nats, theirs.outside.ca)
        assert user == nats.credentials(Role.EVALUATOR)
        async with await connect(user.url, user, name="test") as connection:
            store = await open_store(connection, SUBJECTS, Bucket.POLICIES)
            assert await store.put_if("a", b"x" * 2_000_000, 0) == 1


@pytest.mark.asyncio
async def test_its_users_are_made_and_revoked_as_with_our_own(home: Home) -> None:
    with server(home) as theirs:
        await theirs.nats.start()
        issuer = Issuer.load(home.nats)
        granted = rights(RunnerUser("a", "default", "a"), SUBJECTS)
        runner = issuer.credentials(theirs.outside.nats, "runner-a", granted)
        async with connected(runner):
            pass
        await push(issuer, MESH, theirs.outside.nats, revoke(home.nats, runner.key.public))
        with pytest.raises(ConnectFailed, match="was refused"):
            async with connected(runner):
                pass
        async with connected(Credentials.read(home.creds / "runner.json")):
            pass


@pytest.mark.asyncio
async def test_without_keys_it_is_said_how_to_make_them(home: Home) -> None:
    home.make()
    outside = Outside("tls://127.0.0.1:1")
    with pytest.raises(Failure, match=r"--print-nats-config > nats\.conf"):
        await OutsideNats(outside, home, SUBJECTS).start()


@pytest.mark.asyncio
async def test_a_server_of_other_keys_is_said(home: Home) -> None:
    with server(home) as theirs:
        (home.nats / "keys.json").unlink()
        Issuer.make(home.nats)
        with pytest.raises(NoMesh, match=r"does not know the keys of this mesh.*prints now"):
            await theirs.nats.start()


@pytest.mark.asyncio
async def test_a_certificate_that_can_not_be_verified_is_said_at_once(home: Home) -> None:
    with server(home) as theirs:
        for ca in ("", WebCA().ca_pem):
            wrong = replace(theirs, outside=replace(theirs.outside, ca=ca))
            async with asyncio.timeout(2):
                with pytest.raises(NoMesh, match=r"can't be verified.*--nats-ca"):
                    await wrong.nats.start()


@pytest.mark.asyncio
async def test_a_certificate_for_another_name_is_said_at_once(home: Home) -> None:
    with server(home, name="127.0.0.2") as theirs:
        async with asyncio.timeout(2):
            with pytest.raises(NoMesh, match=r"can't be verified.*issued for"):
                await theirs.nats.start()


@pytest.mark.asyncio
async def test_a_server_without_tls_is_refused_at_once(home: Home) -> None:
    with server(home, scheme="nats") as theirs:
        async with asyncio.timeout(2):
            with pytest.raises(NoMesh, match="does not speak TLS; give the server a certificate"):
                await theirs.nats.start()


@pytest.mark.asyncio
async def test_a_server_without_jetstream_is_said(home: Home) -> None:
    def without(text: str) -> str:
        return re.sub(r"^jetstream: .*$", "", text, flags=re.M)

    with server(home, without) as theirs:
        with pytest.raises(Failure, match="has no JetStream for this mesh"):
            await theirs.nats.start()
