"""Credentials of gateways on a real NATS: who writes, who reads, what the heartbeat says."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.control import control_spec
from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tests.support.nats import A_GATEWAY, A_PROXY, BusUnderTest, serve_bus
from tulle.actors.supervisor.actor import SupervisorActor
from tulle.actors.supervisor.launcher import MemoryLauncher
from tulle.bus import codec, keys
from tulle.bus.connection import Connection
from tulle.bus.errors import Forbidden
from tulle.bus.events import parse_event
from tulle.bus.keeping import (
    CredentialAddRequest,
    CredentialDeleteRequest,
    CredentialListRequest,
    CredentialRecord,
    CredentialsAnswer,
)
from tulle.bus.messages import Answer, Heartbeat, Request
from tulle.bus.permissions import Role
from tulle.bus.store import epoch
from tulle.bus.subjects import Bucket
from tulle.bus.subscription import Message
from tulle.deploy.api import Api

KEY = make_key()


@dataclass(slots=True)
class World:
    bus: BusUnderTest
    operator: Connection

    async def ask(self, verb: str, request: Request) -> Answer:
        subject = self.bus.subjects.api_credential(verb)
        expected = CredentialsAnswer if verb == "list" else Answer
        return await Api(self.bus.subjects.mesh, self.operator).ask(subject, request, expected)

    async def add(self, name: str = "bookstore", id: str = "1") -> Answer:
        return await self.ask("add", add_request(name, id))


def add_request(name: str = "bookstore", id: str = "1") -> CredentialAddRequest:
    certificate = certificate_pem(KEY, "a.example.com", begins=time.time() - 60)
    return CredentialAddRequest(id=id, name=name, certificate=certificate, private_key=key_pem(KEY))


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serve_bus() as bus:
        await epoch(await bus.open_store(Bucket.POLICIES), "e1")
        supervisor = SupervisorActor(control_spec(bus, tmp_path, "supervisor"), MemoryLauncher())
        await supervisor.health()
        yield World(bus, await bus.connect(Role.OPERATOR))
        await supervisor.stop()


@pytest.mark.asyncio
async def test_a_gateway_reads_what_was_added_and_a_sidecar_does_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await world.add()
    assert answer.ok and answer.changes == ["created credential bookstore"], answer.problems
    store = await world.bus.existing_store(A_GATEWAY, Bucket.CREDENTIALS)
    entry = await store.get(keys.credential("bookstore"))
    assert entry is not None
    assert codec.decode(CredentialRecord, entry.value).private_key == key_pem(KEY)
    for user in (A_PROXY, Role.OPERATOR, Role.EVALUATOR, Role.RUNNER, Role.AUTHORITY):
        forbidden = await world.bus.existing_store(user, Bucket.CREDENTIALS)
        with pytest.raises(Forbidden):
            await forbidden.get(keys.credential("bookstore"))
    assert "PRIVATE KEY" not in caplog.text


@pytest.mark.asyncio
async def test_a_gateway_hears_of_a_change_and_its_repair(world: World) -> None:
    gateway = await world.bus.connect_as(A_GATEWAY)
    events: asyncio.Queue[Message] = asyncio.Queue()
    beats: asyncio.Queue[Message] = asyncio.Queue()
    key = keys.credential("bookstore")
    await gateway.subscribe(world.bus.subjects.event(Bucket.CREDENTIALS, key), events.put)
    await gateway.subscribe(world.bus.subjects.heartbeat(), beats.put)
    await world.add()
    event = parse_event(world.bus.subjects, await asyncio.wait_for(events.get(), 5))
    assert (event.bucket, event.key) == (Bucket.CREDENTIALS, key)
    async with asyncio.timeout(5):
        beat = codec.decode(Heartbeat, (await beats.get()).data)
        while (beat.bucket, beat.changed.get(key)) != ("credentials", event.sequence):
            beat = codec.decode(Heartbeat, (await beats.get()).data)
    assert (beat.epoch, beat.leader) == ("e1", "tulle-supervisor-1")


@pytest.mark.asyncio
async def test_what_is_there_is_listed_without_keys_replaced_and_deleted(world: World) -> None:
    assert (await world.add()).ok
    listed = await world.ask("list", CredentialListRequest(id="2"))
    assert isinstance(listed, CredentialsAnswer)
    assert [(one.name, one.hosts) for one in listed.credentials] == [
        ("bookstore", ["a.example.com"])
    ]
    assert b"PRIVATE" not in codec.encode(listed)
    replaced = await world.add(id="3")
    assert replaced.changes == ["replaced credential bookstore"]
    deleted = await world.ask("delete", CredentialDeleteRequest(id="4", name="bookstore"))
    assert deleted.changes == ["deleted credential bookstore"]
    again = await world.ask("delete", CredentialDeleteRequest(id="5", name="bookstore"))
    assert not again.ok and again.problems[0].code == "unknown-credential"


@pytest.mark.asyncio
async def test_nothing_of_a_refused_one_is_stored(world: World) -> None:
    request = add_request().model_copy(update={"private_key": key_pem(make_key())})
    answer = await world.ask("add", request)
    assert not answer.ok and answer.problems[0].code == "key-mismatch"
    store = await world.bus.existing_store(A_GATEWAY, Bucket.CREDENTIALS)
    assert await store.get(keys.credential("bookstore")) is None
