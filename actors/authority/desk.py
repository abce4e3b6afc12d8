"""Where certificates are asked for: examines, asks whether the proxy is still wanted, binds, signs.

What binds a ticket to its key is on disk before the certificate leaves. Counterparts: `signing.py`
and `bindings.py`, which decide; `actor.py`, which serves.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from tulle.actors.authority.bindings import Bindings, BindingsFile
from tulle.actors.authority.disk import FolderDamaged
from tulle.actors.authority.signing import CsrRefused, Signing, refused
from tulle.actors.authority.tickets import TicketRefused
from tulle.bus import codec, keys
from tulle.bus.credentials import write_secret
from tulle.bus.errors import BusError
from tulle.bus.messages import DesiredWorkload, PoolRecord, SignAnswer, SignRequest
from tulle.bus.store import Operation, Store

SWEEP_SECONDS: Final = 300.0
_FILE: Final = "bindings.json"

_LOG = logging.getLogger(__name__)


def load_bindings(folder: Path) -> Bindings:
    """What `Desk` left in the authority's folder. Raises `FolderDamaged`: to begin with none would
    bind every ticket anew, stolen ones too."""
    path = folder / _FILE
    try:
        return Bindings(BindingsFile.model_validate_json(path.read_bytes()).proxies)
    except FileNotFoundError:
        return Bindings()
    except ValidationError as error:
        raise FolderDamaged(f"{path}: it is not the list of bound tickets") from error


class Desk:
    """Answers requests for certificates. `now`: Unix time; `serial`: a fresh random number.

    `desired`: the bucket that says which proxies shall run. A sidecar's record is there before it
    is spawned and until its workload is gone; a gateway is a member of its pool's.
    """

    def __init__(
        self,
        signing: Signing,
        folder: Path,
        bindings: Bindings,
        desired: Store,
        now: Callable[[], float],
        serial: Callable[[], int],
    ) -> None:
        self._signing = signing
        self._path = folder / _FILE
        self._bindings = bindings
        self._desired = desired
        self._now = now
        self._serial = serial
        self._unwanted: set[str] = set()  # at the last sweep
        self._turn = asyncio.Lock()

    async def sign(self, parts: tuple[str, ...], request: SignRequest) -> SignAnswer:
        """ca.sign.<ns>.<account>. Raises `BusError`, `OSError`; then nothing was signed."""
        namespace, account = parts
        try:
            asked = self._signing.examine(namespace, account, request, self._now())
            ticket = asked.ticket
            if not await self._is_wanted(ticket.proxy, ticket.pool):
                raise TicketRefused(f"proxy {ticket.proxy} is not, or no more, of this mesh")
            async with self._turn:
                await self._keep(self._bindings.admit(ticket, asked.key_hash, asked.proven))
        except (TicketRefused, CsrRefused) as refusal:
            return refused(request.id, str(refusal))
        return self._signing.issue(asked, request.id, now=self._now(), serial=self._serial())

    async def sweep_for_ever(self) -> None:
        """Forgets the bindings of proxies that are gone, now and then."""
        while True:
            try:
                await self.sweep()
            except (BusError, OSError) as error:
                _LOG.warning("bindings not swept, to be tried again: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Forgets the bindings of proxies that are gone: their tickets are refused for that.

        Gone is who was unwanted at the sweep before as well: a workload that NATS lost comes back
        under its id, and its older tickets must stay refused. Raises `BusError`, `OSError`.
        """
        bindings = self._bindings.proxies
        unwanted = {
            proxy
            for proxy, bound in bindings.items()
            if not await self._is_wanted(proxy, bound.pool)
        }
        gone, self._unwanted = unwanted & self._unwanted, unwanted
        if gone:
            async with self._turn:
                await self._keep(self._bindings.without(gone))

    async def _is_wanted(self, proxy: str, pool: str) -> bool:
        entry = await self._desired.get(keys.pool(pool) if pool else keys.workload(proxy))
        if entry is None or entry.operation is Operation.DELETE:
            return False
        if pool:
            return proxy in codec.decode(PoolRecord, entry.value).members
        return codec.decode(DesiredWorkload, entry.value).id == proxy

    async def _keep(self, bindings: Bindings) -> None:
        if bindings is not self._bindings:
            file = BindingsFile(proxies=dict(bindings.proxies))
            data = file.model_dump_json().encode()
            await asyncio.to_thread(write_secret, self._path, data)
            self._bindings = bindings
