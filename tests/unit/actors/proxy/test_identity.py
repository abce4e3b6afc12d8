"""When a certificate is renewed, by which key, and how often a refused request is repeated."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import MeshRoot
from tests.support.proxy_world import sidecar_spec
from tulle.actors.proxy import tls
from tulle.actors.proxy.identity import (
    NEXT_KEY,
    RETRY_LONGEST,
    IdentityKeeper,
    renew_after,
    retry_after,
)
from tulle.actors.proxy.tls import Identity
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import NoAnswer
from tulle.bus.messages import SignAnswer, SignRequest
from tulle.bus.subjects import Subjects
from tulle.bus.subscription import Message

UNIFORM = st.floats(min_value=0, max_value=1, exclude_max=True)


def test_a_renewal_is_due_at_half_life_with_jitter() -> None:
    assert renew_after(not_after=1100.0, now=1000.0, uniform=0.5) == 50.0
    assert renew_after(1100.0, 1000.0, 0.0) == 45.0
    assert renew_after(900.0, 1000.0, 0.5) == 0.0


@given(st.integers(min_value=1, max_value=10_000), UNIFORM)
def test_retries_come_later_and_later_up_to_a_bound(failures: int, uniform: float) -> None:
    pause = retry_after(failures, uniform)
    assert 0.1 <= pause <= RETRY_LONGEST
    assert pause <= retry_after(failures + 2, uniform) or pause >= RETRY_LONGEST / 2


class LosesAnswers:
    """An authority that signs, whose first answers get lost on their way."""

    def __init__(self, mesh: MeshRoot, lost: int) -> None:
        self.mesh = mesh
        self.lost = lost
        self.asked: list[SignRequest] = []

    async def request(self, subject: str, data: bytes) -> Message:
        request = codec.decode(SignRequest, data)
        self.asked.append(request)
        if len(self.asked) <= self.lost:
            raise NoAnswer(subject, 5)
        chain, roots = self.mesh.signed(request.csr), self.mesh.roots_pem
        answer = SignAnswer(id=request.id, ok=True, chain=chain.decode(), roots=roots.decode())
        return Message(subject, codec.encode(answer))


async def obtained(folder: Path, authority: LosesAnswers) -> Identity:
    """The first identity that a keeper installs."""
    installed: list[Identity] = []
    spec = replace(sidecar_spec(), folder=str(folder), account="reviews", namespace="default")
    keeper = IdentityKeeper(
        spec,
        Subjects("test"),
        installed.append,
        lambda: None,
    )
    keeper.restore()
    running = asyncio.create_task(keeper.run(cast(Connection, authority)))
    await asyncio.wait_for(keeper.installed.wait(), 10)
    running.cancel()
    return installed[0]


@pytest.mark.asyncio
async def test_a_lost_answer_is_asked_for_with_the_same_key(tmp_path: Path) -> None:
    authority = LosesAnswers(MeshRoot(), lost=1)
    identity = await obtained(tmp_path, authority)
    assert len({public_pem(request.csr) for request in authority.asked}) == 1
    assert not (tmp_path / NEXT_KEY).exists()
    assert Identity.load(tmp_path) == identity
    assert authority.asked[0].proof == "", "there is no key before the first"


@pytest.mark.asyncio
async def test_a_key_that_was_shown_outlives_its_process(tmp_path: Path) -> None:
    (tmp_path / NEXT_KEY).write_bytes(tls.generate_key())
    (tmp_path / NEXT_KEY).chmod(0o600)
    kept = (tmp_path / NEXT_KEY).read_bytes()
    assert (await obtained(tmp_path, LosesAnswers(MeshRoot(), lost=0))).key_pem == kept


@pytest.mark.asyncio
@pytest.mark.parametrize("stayed", [False, True], ids=["", "its file stayed"])
async def test_a_renewal_has_a_new_key_signed_by_the_one_before(
    tmp_path: Path, stayed: bool
) -> None:
    mesh = MeshRoot()
    before = mesh.identity("reviews", timedelta(minutes=-1))
    before.save(tmp_path)
    if stayed:
        (tmp_path / NEXT_KEY).write_bytes(before.key_pem)
    authority = LosesAnswers(mesh, lost=0)
    identity = await obtained(tmp_path, authority)
    [request] = authority.asked
    assert identity.key_pem != before.key_pem
    old = serialization.load_pem_private_key(before.key_pem, None)
    assert isinstance(old, ec.EllipticCurvePrivateKey)
    signature = base64.b64decode(request.proof)
    old.public_key().verify(signature, request.csr.encode(), ec.ECDSA(hashes.SHA256()))


def public_pem(csr: str) -> bytes:
    key = x509.load_pem_x509_csr(csr.encode()).public_key()
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
