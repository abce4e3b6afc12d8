"""A proxy's certificate: loaded from its folder or signed by the authority, renewed at half life.

Counterparts: `tls.py`, which makes keys and contexts; actors.authority, which signs. A certificate
that is still valid is used however long the authority is away.
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
from tulle.actors.proxy.tls import Identity, IdentityDamaged, generate_key_and_csr
from tulle.bus import codec
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.messages import SignAnswer, SignRequest
from tulle.bus.subjects import Subjects

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

    `problem`: why there is none, or no new one; `report` is called when it changes.
    """

    def __init__(
        self,
        spec: ProxySpec,
        connection: Connection,
        subjects: Subjects,
        install: Callable[[Identity], None],
        report: Callable[[], None],
    ) -> None:
        self.problem = ""
        self.installed = asyncio.Event()
        self._spec = spec
        self._connection = connection
        self._subjects = subjects
        self._install = install
        self._report = report
        self._folder = Path(spec.folder)

    async def run(self) -> None:
        """Until cancelled."""
        identity = self._load() or await self._obtain()
        while True:
            self._install(identity)
            self.installed.set()
            await asyncio.sleep(renew_after(identity.not_after, time.time(), random()))
            identity = await self._obtain()

    def _load(self) -> Identity | None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            identity = Identity.load(self._folder)
        except IdentityDamaged as error:
            log.warning("asking for a new certificate: error=%s", error)
            return None
        if identity is None or identity.spiffe_id != self._spec.spiffe_id:
            return None
        return identity if identity.not_after > time.time() else None

    async def _obtain(self) -> Identity:
        failures = 0
        while True:
            try:
                identity = await self._ask()
                await asyncio.to_thread(identity.save, self._folder)
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

    async def _ask(self) -> Identity:
        spec = self._spec
        key, csr = generate_key_and_csr(spec.spiffe_id)
        request = SignRequest(id=secrets.token_hex(8), ticket=spec.ticket, csr=csr)
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
