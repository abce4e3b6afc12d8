"""The authority on a real NATS: a proxy asks with its ticket and gets a chain, whoever restarts."""

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from tests.support.control import control_spec
from tests.support.identities import REVIEWS
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.workloads import start_request
from tulle.actors.authority import desk
from tulle.actors.authority.actor import AuthorityActor
from tulle.actors.authority.disk import FolderDamaged, load_ticket_key
from tulle.actors.authority.tickets import Ticket, make_ticket
from tulle.actors.proxy import tls
from tulle.bus import keys
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Forbidden
from tulle.bus.messages import DesiredWorkload, PoolRecord, SignAnswer, SignRequest
from tulle.bus.store import Change, Operation
from tulle.bus.subjects import Bucket

PROXY = "reviews-v1-abcde"


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        yield bus


async def desire(bus: BusUnderTest, *, present: bool = True) -> None:
    """Writes that `PROXY` shall run, or no more."""
    desired = DesiredWorkload(
        id=PROXY, namespace="default", account="reviews", request=start_request()
    )
    change = Change(keys.workload(PROXY), encode(desired))
    if not present:
        change = Change(keys.workload(PROXY), operation=Operation.DELETE)
    await (await bus.open_store(Bucket.DESIRED)).put_all([change])


@pytest_asyncio.fixture
async def authority(bus: BusUnderTest, tmp_path: Path) -> AsyncIterator[AuthorityActor]:
    await desire(bus)
    actor = AuthorityActor(control_spec(bus, tmp_path, "authority", leaf_ttl_seconds=60))
    await actor.health()
    yield actor
    await actor.stop()


def ticket(home: Path, *, pool: str = "") -> str:
    """A new ticket of `PROXY`, as at a respawn."""
    key = load_ticket_key(home / "authority")
    return make_ticket(key, Ticket(PROXY, "default", "reviews", time.time(), pool, "nonce"))


async def connect_reviews(bus: BusUnderTest) -> Connection:
    return await bus.connect_proxy(PROXY, account="reviews")


async def ask(
    bus: BusUnderTest,
    proxy: Connection,
    ticket: str,
    *,
    account: str = "reviews",
    key: bytes = b"",
    before: bytes = b"",
) -> SignAnswer:
    """With `key` (PEM) or a new one; `before` signs for it."""
    csr = tls.make_csr(key or tls.generate_key(), REVIEWS)
    previous, proof = tls.prove(before, csr) if before else ("", "")
    request = SignRequest(id="1", ticket=ticket, csr=csr, previous=previous, proof=proof)
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


def said(answer: SignAnswer) -> str:
    assert not answer.ok and not answer.chain
    return answer.problems[0].message


@pytest.mark.asyncio
async def test_a_ticket_is_of_no_use_to_who_has_not_its_first_key(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy, stolen, first = await connect_reviews(bus), ticket(tmp_path), tls.generate_key()
    assert (await ask(bus, proxy, stolen, key=first)).ok
    assert (await ask(bus, proxy, stolen, key=first)).ok, "the answer may have been lost"
    assert "bound to the key" in said(await ask(bus, proxy, stolen))
    other = tls.generate_key()
    assert "bound to the key" in said(await ask(bus, proxy, stolen, before=other))
    second = tls.generate_key()
    assert (await ask(bus, proxy, stolen, key=second, before=first)).ok
    assert "bound to the key" in said(await ask(bus, proxy, stolen, before=first))
    assert "bound to the key" in said(await ask(bus, proxy, stolen, key=first))


@pytest.mark.asyncio
async def test_a_binding_outlives_the_authority(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy, bound, first = await connect_reviews(bus), ticket(tmp_path), tls.generate_key()
    assert (await ask(bus, proxy, bound, key=first)).ok
    await authority.stop()
    file = tmp_path / "authority" / "bindings.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    successor = AuthorityActor(control_spec(bus, tmp_path, "authority"))
    await successor.health()
    assert "bound to the key" in said(await ask(bus, proxy, bound))
    assert (await ask(bus, proxy, bound, key=first)).ok
    await successor.stop()


@pytest.mark.asyncio
async def test_a_respawn_binds_anew_and_ends_the_ticket_before(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy, old, first = await connect_reviews(bus), ticket(tmp_path), tls.generate_key()
    assert (await ask(bus, proxy, old, key=first)).ok
    assert (await ask(bus, proxy, ticket(tmp_path))).ok
    assert "a newer ticket" in said(await ask(bus, proxy, old, key=first))


@pytest.mark.asyncio
async def test_a_workload_that_is_gone_gets_no_certificate_and_is_forgotten(
    bus: BusUnderTest,
    authority: AuthorityActor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "SWEEP_SECONDS", 0.05)
    proxy, kept = await connect_reviews(bus), ticket(tmp_path)
    key = tls.generate_key()
    assert (await ask(bus, proxy, kept, key=key)).ok
    await desire(bus, present=False)
    assert "of this mesh" in said(await ask(bus, proxy, kept, key=key))
    await authority.stop()
    successor = AuthorityActor(control_spec(bus, tmp_path, "authority"))
    await successor.health()
    async with asyncio.timeout(5):
        while PROXY in (tmp_path / "authority" / "bindings.json").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await successor.stop()


@pytest.mark.asyncio
async def test_who_is_missed_at_one_sweep_alone_keeps_its_binding(
    bus: BusUnderTest,
    authority: AuthorityActor,
    tmp_path: Path,
) -> None:
    """As when NATS lost what was desired, and `tulle run` brings its workload back."""
    proxy, stolen, first = await connect_reviews(bus), ticket(tmp_path), tls.generate_key()
    assert (await ask(bus, proxy, stolen, key=first)).ok
    await desire(bus, present=False)
    await authority.stop()
    successor = AuthorityActor(control_spec(bus, tmp_path, "authority"))  # it sweeps once
    await successor.health()
    assert "of this mesh" in said(await ask(bus, proxy, stolen, key=first))
    await desire(bus)
    assert "bound to the key" in said(await ask(bus, proxy, stolen))
    await successor.stop()


@pytest.mark.asyncio
async def test_a_gateway_must_be_a_member_of_its_pool(
    bus: BusUnderTest, authority: AuthorityActor, tmp_path: Path
) -> None:
    proxy = await connect_reviews(bus)
    store = await bus.open_store(Bucket.DESIRED)
    of_a_pool = ticket(tmp_path, pool="ingress")
    for members, ok in ([], False), ([PROXY], True):
        pool = PoolRecord(name="ingress", replicas=1, members=members)
        await store.put_all([Change(keys.pool("ingress"), encode(pool))])
        assert (await ask(bus, proxy, of_a_pool)).ok == ok


@pytest.mark.asyncio
async def test_damaged_bindings_are_said_and_not_begun_anew(
    bus: BusUnderTest, tmp_path: Path
) -> None:
    (tmp_path / "authority").mkdir(mode=0o700)
    (tmp_path / "authority" / "bindings.json").write_text("{}garbage")
    actor = AuthorityActor(control_spec(bus, tmp_path, "authority"))
    with pytest.raises(FolderDamaged, match=r"bindings\.json"):
        await actor.health()


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
