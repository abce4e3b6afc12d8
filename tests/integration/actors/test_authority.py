"""The authority on a real NATS: a proxy asks with its ticket and gets a chain, whoever restarts."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from tests.support.control import control_spec
from tests.support.identities import REVIEWS, make_csr
from tests.support.nats import BusUnderTest, serve_bus
from tulle.actors.authority.actor import AuthorityActor
from tulle.actors.authority.disk import FolderDamaged, load_ticket_key
from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Forbidden
from tulle.bus.messages import SignAnswer, SignRequest


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        yield bus


@pytest_asyncio.fixture
async def authority(bus: BusUnderTest, tmp_path: Path) -> AsyncIterator[AuthorityActor]:
    actor = AuthorityActor(control_spec(bus, tmp_path, "authority", leaf_ttl_seconds=60))
    await actor.health()
    yield actor
    await actor.stop()


def ticket(home: Path) -> str:
    key = load_ticket_key(home / "authority")
    return make_ticket(key, Ticket("reviews-v1-abcde", "default", "reviews", time.time()))


async def connect_reviews(bus: BusUnderTest) -> Connection:
    return await bus.connect_proxy("reviews-v1-abcde", account="reviews")


async def ask(
    bus: BusUnderTest, proxy: Connection, ticket: str, *, account: str = "reviews"
) -> SignAnswer:
    request = SignRequest(id="1", ticket=ticket, csr=make_csr(REVIEWS))
    subject = bus.subjects.ca_sign("default", account)
    return decode(SignAnswer, (await proxy.request(subject, encode(request))).data)


@pytest.mark.asyncio
async def test_a_proxy_gets_a_chain(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    answer = await ask(bus, await connect_reviews(bus), ticket(tmp_path))
    assert answer.ok, answer.problems
    leaf, intermediate = x509.load_pem_x509_certificates(answer.chain.encode())
    [root] = x509.load_pem_x509_certificates(answer.roots.encode())
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    assert leaf.not_valid_after_utc.timestamp() <= time.time() + 60


@pytest.mark.asyncio
async def test_another_accounts_subject_is_refused(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy = await connect_reviews(bus)
    with pytest.raises(Forbidden):
        await ask(bus, proxy, ticket(tmp_path), account="ratings")
    thief = await bus.connect_proxy("ratings-v1-abcde", account="ratings")
    answer = await ask(bus, thief, ticket(tmp_path), account="ratings")
    assert not answer.ok and "default/ratings" in answer.problems[0].message


@pytest.mark.asyncio
async def test_what_is_no_request_is_answered_with_what_is_wrong(
    bus: BusUnderTest, authority: AuthorityActor
) -> None:
    proxy = await connect_reviews(bus)
    message = await proxy.request(bus.subjects.ca_sign("default", "reviews"), b'{"id": "1"}')
    answer = decode(SignAnswer, message.data)
    assert not answer.ok and "ticket" in answer.problems[0].message


@pytest.mark.asyncio
async def test_identities_survive_a_restart_of_the_authority(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy = await connect_reviews(bus)
    before = await ask(bus, proxy, ticket(tmp_path))
    await authority.stop()
    successor = AuthorityActor(control_spec(bus, tmp_path, "authority"))
    await successor.health()
    after = await ask(bus, proxy, ticket(tmp_path))
    await successor.stop()
    assert after.ok and after.roots == before.roots


@pytest.mark.asyncio
async def test_it_serves_again_after_a_restart_of_nats(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    await bus.server.restart()
    proxy = await connect_reviews(bus)
    async with asyncio.timeout(10):
        # Nothing tells this connection when the authority's is back.
        while not await _ask_quietly(bus, proxy, ticket(tmp_path)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_damaged_folder_is_said_and_not_replaced(bus: BusUnderTest, tmp_path: Path) -> None:
    (tmp_path / "authority").mkdir(mode=0o700)
    (tmp_path / "authority" / "root.key").write_text("garbage")
    actor = AuthorityActor(control_spec(bus, tmp_path, "authority"))
    with pytest.raises(FolderDamaged, match=r"root\.key"):
        await actor.health()
    assert (tmp_path / "authority" / "root.key").read_text() == "garbage"


async def _ask_quietly(bus: BusUnderTest, proxy: Connection, ticket: str) -> bool:
    try:
        return (await ask(bus, proxy, ticket)).ok
    except BusError:
        return False
