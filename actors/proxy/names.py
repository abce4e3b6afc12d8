"""Endpoints that are names: looked up off the path of requests, again while they are used.

As Envoy's logical DNS: one endpoint stands for all addresses of its name, and a new connection goes
to the next of them. The last good answer is kept; connections move when an address has gone.
Counterparts: dial.py and origination.py, which connect to the addresses.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from tulle.actors.proxy.passthrough import RESOLVE_SECONDS, Resolve
from tulle.actors.proxy.pool import DialFailed, Endpoint
from tulle.actors.proxy.upstream import UpstreamConnection
from tulle.policies.reasons import NO_ENDPOINTS

REFRESH_SECONDS: Final = 5.0
ADDRESSES_TRIED: Final = 3  # of a name, for one connection

log = logging.getLogger(__name__)


class Connect(Protocol):
    """A dialer that can be told the address."""

    @property
    def generation(self) -> int: ...

    def __call__(self, endpoint: Endpoint, address: str = "") -> Awaitable[UpstreamConnection]: ...


class NameDialer:
    """Of one endpoint. `is_listener(address, port)`: of the mesh, which is not connected to."""

    def __init__(
        self,
        connect: Connect,
        resolve: Resolve,
        is_listener: Callable[[str, int], bool],
    ) -> None:
        self._connect = connect
        self._resolve = resolve
        self._is_listener = is_listener
        self._addresses: Sequence[str] = ()
        self._turn = 0
        self._watching: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    @property
    def generation(self) -> int:
        """Of what it connects with."""
        return self._connect.generation

    async def __call__(self, endpoint: Endpoint) -> UpstreamConnection:
        if self._watching is None or self._watching.done():
            self._answered = asyncio.Event()
            self._watching = asyncio.get_running_loop().create_task(self._watch(endpoint))
        await self._answered.wait()
        addresses = [it for it in self._addresses if not self._is_listener(it, endpoint.port)]
        if not addresses:
            listens = (
                "only addresses of the mesh's own listeners" if self._addresses else "no address"
            )
            raise DialFailed(
                replace(NO_ENDPOINTS, sentence=f"The name {endpoint.address} has {listens}.")
            )
        self._turn += 1
        first = self._turn % len(addresses)
        return await self._first_of(endpoint, addresses[first:] + addresses[:first])

    async def _first_of(self, endpoint: Endpoint, addresses: list[str]) -> UpstreamConnection:
        *others, last = addresses[:ADDRESSES_TRIED]
        for address in others:
            with contextlib.suppress(OSError):
                return await self._connect(endpoint, address)
        return await self._connect(endpoint, last)

    async def _watch(self, endpoint: Endpoint) -> None:
        """Until nobody uses the endpoint any more."""
        while True:
            await self._look_up(endpoint)
            self._answered.set()
            await asyncio.sleep(REFRESH_SECONDS)
            if not (endpoint.active or endpoint.idle):
                return

    async def _look_up(self, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await self._resolve(endpoint.address)
        except (OSError, UnicodeError) as error:  # TimeoutError among them
            log.warning("not resolved: name=%s error=%s", endpoint.address, error)
            return
        gone = set(self._addresses) - set(found)
        if found:
            self._addresses = found
            if gone:
                endpoint.renew()
