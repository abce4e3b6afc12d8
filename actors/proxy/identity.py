"""A proxy's certificate: loaded from its folder or signed by the authority, renewed at half life.

Counterparts: `tls.py`, which makes keys and contexts; actors.authority, which signs. A certificate
that is still valid is used however long the authority is away. A renewal has a new key, and the key
before signs for it: the ticket alone opens nothing.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from random import random
from typing import Final

from tulle.actors.proxy.spec import ProxySpec
from tulle.actors.proxy.tls import (
    Identity,
    IdentityDamaged,
    make_csr,
    prove,
    read_or_make_key,
)
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.messages import SignAnswer, SignRequest
from tulle.bus.subjects import Subjects

NEXT_KEY: Final = "next.key"
RETRY_FIRST: Final = 0.2
RETRY_LONGEST: Final = 15.0

log = logging.getLogger(__name__)


class NotSigned(Exception):
    """The authority refused, or answered with something else than a certificate for the key."""


def renew_after(not_after: float, now: float, uniform: float) -> float:
    """Seconds until a renewal: half of what is left, 10 % earlier or later. Unix times."""
    return max(0.0, not_after - now) / 2 * (0.9 + 0.2 * uniform)


def retry_after(failures: int, uniform: float) -> float:
    """Seconds before the next try after `failures`, half of it by chance."""
    longest: float = min(RETRY_LONGEST, RETRY_FIRST * 2.0 ** min(failures - 1, 10))
    return longest * (0.5 + uniform / 2)


class IdentityKeeper:
    """Installs a certificate, and each that follows it.

    `restore` needs nobody, `run` the bus. `problem`: why there is none, or no new one; `report` is
    called when it changes.
    """

    def __init__(
        self,
        spec: ProxySpec,
        subjects: Subjects,
        install: Callable[[Identity], None],
        report: Callable[[], None],
    ) -> None:
        self.problem = ""
        self.installed = asyncio.Event()
        self._spec = spec
        self._connection: Connection | None = None
        self._subjects = subjects
        self._install = install
        self._report = report
        self._folder = Path(spec.folder)
        self._before: Identity | None = None  # valid or not, its key signs for the next
        self._current: Identity | None = None

    def restore(self) -> None:
        """Installs the certificate of the proxy's last life, if it is still valid."""
        if (identity := self._load()) is not None:
            self._use(identity)

    async def run(self, connection: Connection) -> None:
        """Obtains a certificate if there is none, and renews it, until cancelled."""
        self._connection = connection
        while True:
            if (identity := self._current) is not None:
                await asyncio.sleep(renew_after(identity.not_after, time.time(), random()))
            self._use(await self._obtain())

    def _use(self, identity: Identity) -> None:
        self._current = identity
        self._install(identity)
        self.installed.set()

    def _load(self) -> Identity | None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            identity = Identity.load(self._folder)
        except IdentityDamaged as error:
            log.warning("asking for a new certificate: error=%s", error)
            return None
        self._before = identity
        if identity is None or identity.spiffe_id != self._spec.spiffe_id:
            return None
        return identity if identity.not_after > time.time() else None

    async def _obtain(self) -> Identity:
        failures = 0
        while True:
            try:
                key = await asyncio.to_thread(self._next_key)
                identity = await self._ask(key)
                await asyncio.to_thread(self._keep, identity)
            except (BusError, NotSigned, OSError) as error:
                failures += 1
                self._say(f"certificate: {error}")
                log.warning("no certificate: attempt=%d error=%s", failures, error)
                await asyncio.sleep(retry_after(failures, random()))
            else:
                self._say("")
                return identity

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._report()

    def _next_key(self) -> bytes:
        """The key to be certified next. On disk first: once the authority has seen it, the ticket
        is bound to it, and an answer that was lost must be asked for with the same."""
        path = self._folder / NEXT_KEY
        key = read_or_make_key(path)
        if self._before is not None and key == self._before.key_pem:  # kept, then the file stayed
            path.unlink()
            key = read_or_make_key(path)
        return key

    def _keep(self, identity: Identity) -> None:
        identity.save(self._folder)
        self._before = identity
        (self._folder / NEXT_KEY).unlink()

    async def _ask(self, key: bytes) -> Identity:
        assert self._connection is not None  # `run` has it
        spec = self._spec
        csr = make_csr(key, spec.spiffe_id)
        previous, proof = prove(self._before.key_pem, csr) if self._before else ("", "")
        request = SignRequest(
            id=secrets.token_hex(8), ticket=spec.ticket, csr=csr, previous=previous, proof=proof
        )
        subject = self._subjects.ca_sign(spec.namespace, spec.account)
        try:
            message = await self._connection.request(subject, codec.encode(request))
            answer = codec.decode(SignAnswer, message.data)
            if not answer.ok:
                raise NotSigned("; ".join(problem.message for problem in answer.problems))
            identity = Identity.from_pem(key, answer.chain.encode(), answer.roots.encode())
        except (Undecodable, IdentityDamaged) as error:
            raise NotSigned(str(error)) from error
        if identity.spiffe_id != spec.spiffe_id:
            raise NotSigned(f"it is for {identity.spiffe_id}, not for {spec.spiffe_id}")
        return identity
