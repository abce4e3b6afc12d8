"""The edge of a sidecar's explicit proxy: from the app to services, and to hosts outside.

Hosts of the mesh are told by the index; their routes come on first use, and requests wait for them
a little (`want` asks for a host's routes once).
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.connect import Connector
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.passthrough import Passthrough
from tulle.policies.decide.hosts import HostIndex
from tulle.policies.decide.route import Chooser
from tulle.policies.reasons import (
    CONFIG_UNAVAILABLE,
    CONNECT_NOT_SUPPORTED,
    CREDENTIAL_MISSING,
    PENDING_OVERFLOW,
    ROUTE_NOT_FOUND,
    UNKNOWN_PORT,
)

WAIT_SECONDS: Final = 2.0
WAITING_LIMIT: Final = 1_000  # requests
DEFAULT_PORT: Final = 80

PortRoutes = Mapping[int, Chooser[Cluster]]
_NONE: Final[Mapping[int, Cluster]] = MappingProxyType({})


class OutboundEdge(BaseEdge):
    """`index` is None until the hosts of the mesh are known."""

    def __init__(
        self,
        around: Surroundings,
        passthrough: Passthrough,
        connector: Connector,
        want: Callable[[str], None],
    ) -> None:
        super().__init__(around, "source")
        self.index: HostIndex | None = None
        self._passthrough = passthrough
        self._connector = connector
        self._want = want
        self._routes: dict[str, PortRoutes] = {}  # by key
        self._tcp: dict[str, Mapping[int, Cluster]] = {}  # by key, where there are tcp ports
        self._waiting: dict[Exchange, str] = {}  # the key that is wanted; empty: the index
        self._accepted = b""  # the Proxy-Authorization that was right

    # Configuration.

    def install_index(self, index: HostIndex) -> None:
        """The hosts of the mesh; requests that wait for them go on."""
        self.index = index
        self._release("")

    def install(self, key: str, routes: PortRoutes, tcp: Mapping[int, Cluster] = _NONE) -> None:
        """The routes of a host and the clusters of its tcp ports; who waits for them goes on."""
        self._routes[key] = routes
        self._tcp[key] = tcp
        self._release(key)

    def remove(self, key: str) -> None:
        """The routes of a host are not known any more."""
        self._routes.pop(key, None)
        self._tcp.pop(key, None)

    # Requests.

    def connect(self, exchange: Exchange) -> None:
        """A CONNECT: to a tcp port of the mesh, by a client with the credential."""
        credential = exchange.head.first(b"proxy-authorization")
        if credential is None or not self._accepts(credential):
            exchange.refuse(CREDENTIAL_MISSING)
        else:
            self._decide_connect(exchange)

    def _decide_connect(self, exchange: Exchange) -> None:
        host = exchange.head.host
        if self.index is None:
            self._wait(exchange, "")
            return
        entry = self.index.find(host.host)
        if entry is None:
            exchange.refuse(CONNECT_NOT_SUPPORTED)
            return
        tcp = self._tcp.get(entry.key)
        if tcp is None:
            self._wait(exchange, entry.key)
            return
        cluster = tcp.get(host.port or 0)
        if cluster is not None:
            self._connector.connect(exchange, cluster)
        elif not tcp or host.port in self._routes[entry.key]:
            exchange.refuse(CONNECT_NOT_SUPPORTED)
        else:
            exchange.refuse(UNKNOWN_PORT)

    def admit(self, exchange: Exchange) -> None:
        """Checks the credential, once; then decides."""
        credential = exchange.head.first(b"proxy-authorization")
        if credential is None or not self._accepts(credential):
            exchange.refuse(CREDENTIAL_MISSING)
            return
        self._decide(exchange)

    def _decide(self, exchange: Exchange) -> None:
        head = exchange.head
        if self.index is None:
            self._wait(exchange, "")
            return
        entry = self.index.find(head.host.host)
        if entry is None:
            self._passthrough.admit(exchange)
            return
        routes = self._routes.get(entry.key)
        if routes is None:
            self._wait(exchange, entry.key)
            return
        choose = routes.get(head.host.port or DEFAULT_PORT)
        if choose is None:
            if len(routes) != 1:
                exchange.refuse(UNKNOWN_PORT)
                return
            (choose,) = routes.values()
        choice = choose(head.method, head.path, head.authority, head.headers, self.uniform())
        if choice is None:
            exchange.refuse(ROUTE_NOT_FOUND)
            return
        self.tracer.complete(head)
        cluster = choice.cluster
        mutual = cluster is not None and cluster.mutual
        exchange.forward(choice, [self.peer_line] if mutual else [])

    def _accepts(self, credential: bytes) -> bool:
        if hmac.compare_digest(credential, self._accepted):
            return bool(credential)
        if not _matches(credential, self._around.spec.credential_sha256):
            return False
        self._accepted = credential
        return True

    # Waiting for config.

    def _wait(self, exchange: Exchange, key: str) -> None:
        if len(self._waiting) >= WAITING_LIMIT:
            exchange.refuse(PENDING_OVERFLOW)
            return
        first = bool(key) and key not in self._waiting.values()
        self._waiting[exchange] = key
        exchange.park(WAIT_SECONDS, CONFIG_UNAVAILABLE, self._forget)
        if first:
            self._want(key)

    def _forget(self, exchange: Exchange) -> None:
        self._waiting.pop(exchange, None)

    def _release(self, key: str) -> None:
        for exchange in [waiting for waiting, for_key in self._waiting.items() if for_key == key]:
            del self._waiting[exchange]
            exchange.unpark()
            if exchange.head.method == b"CONNECT":
                self._decide_connect(exchange)
            else:
                self._decide(exchange)


def _matches(credential: bytes, sha256: str) -> bool:
    """Whether `Basic <user:password>` has the password whose SHA-256 (hex) this is."""
    scheme, _, encoded = credential.partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        _, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except Base64Error:
        return False
    return hmac.compare_digest(hashlib.sha256(password).hexdigest(), sha256.lower())
