"""The edge of a sidecar's inbound port: from peers, over mTLS, to the app on loopback.

Where the policies' mode is PERMISSIVE or DISABLE, plain clients come as well. They prove nothing:
no principal, no labels, and what they say about themselves is dropped.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Final

from tulle.actors.proxy import labels
from tulle.actors.proxy.client import ClientConnection
from tulle.actors.proxy.cluster import Cluster, only_choice
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.stats import Recorder
from tulle.actors.proxy.wire.request_head import PEER_HEADER
from tulle.policies.config import Cluster as ClusterConfig
from tulle.policies.decide.peers import DEFAULT, Mode
from tulle.policies.decide.plan import NO_RETRY

Identify = Callable[[asyncio.BaseTransport], str | None]

RECORDERS: Final = 4_096  # peers remembered; a peer may call itself anything


class InboundEdge(BaseEdge):
    """`app` is the one endpoint; `identify` tells the SPIFFE id that a peer proved.

    `mode`: who is let in, the default (STRICT) until the policies are known.
    """

    def __init__(
        self, around: Surroundings, app: Cluster, identify: Identify, port: int = 0
    ) -> None:
        super().__init__(around, "destination", port)
        self.mode: Mode = DEFAULT
        self._choice = only_choice(app, NO_RETRY)
        self._identify = identify
        self._recorders: dict[tuple[str, bytes], Recorder] = {}
        self._aged: set[ClientConnection] = set()  # made under the certificate before this one

    # Configuration.

    def install_mode(self, mode: Mode) -> None:
        """Who is let in from now on; a plain connection that is there ends under STRICT."""
        if mode == self.mode:
            return
        self.mode = mode
        for client in list(self.connections):
            if not client.principal:
                self.bar(client, mode == "STRICT")

    def renew(self) -> None:
        """There is a new certificate: connections move over with their next answer.

        Who has had none until the renewal after, when their certificate ends, is closed.
        """
        for client in self._aged & self.connections:
            if client.idle:
                client.close()
        self._aged = {client for client in self.connections if client.principal}
        for client in self._aged:
            self.leave(client)

    # Connections.

    def greet(self, client: ClientConnection) -> bool:
        """Talks over TLS to nobody who has not proved who they are."""
        client.principal = self._identify(client.transport) or ""
        if client.principal:
            client.forwarded = client_certificate(client, self._around.spec.spiffe_id)
        elif client.encrypted or self.mode == "STRICT":
            return False
        else:
            client.forwarded = b""
        return super().greet(client)

    def admit(self, exchange: Exchange) -> None:
        """All of its requests are the app's."""
        recorder = self.recorder_of(exchange)
        forwarded = exchange.client.forwarded
        added = [forwarded] if forwarded else []
        self.tracer.complete(exchange.head)
        exchange.forward(self._choice, added, recorder)

    def recorder_of(self, exchange: Exchange) -> Recorder:
        """The recorder of a peer and of what it calls itself; who proves nothing has no name."""
        head, principal = exchange.head, exchange.client.principal
        name = (head.first(PEER_HEADER) or b"") if head.noted and principal else b""
        recorder = self._recorders.get((principal, name))
        return self._recorder(principal, name) if recorder is None else recorder

    def _recorder(self, principal: str, name: bytes) -> Recorder:
        around, spec = self._around, self._around.spec
        service = labels.service_labels(
            f"{spec.service}.{spec.namespace}.svc.cluster.local", spec.service, spec.namespace
        )
        recorder = around.stats.recorder(
            "destination",
            labels.of_peer(principal, name.decode("latin-1")),
            labels.of_proxy("destination", spec),
            service,
            {} if principal else {"connection_security_policy": "none"},
        )
        if len(self._recorders) >= RECORDERS:
            self._recorders.clear()
        self._recorders[principal, name] = recorder
        return recorder


def client_certificate(client: ClientConnection, own: str) -> bytes:
    """The line `x-forwarded-client-cert`, as Istio's sidecars write it; empty without TLS."""
    tls = client.transport.get_extra_info("ssl_object")
    leaf = tls.getpeercert(binary_form=True) if tls is not None else None
    if leaf is None:
        return b""
    digest = hashlib.sha256(leaf).hexdigest()
    value = f'By={own};Hash={digest};Subject="";URI={client.principal}'
    return b"x-forwarded-client-cert: " + value.encode()


def app_cluster(port: int) -> ClusterConfig:
    """The cluster of the app's port on loopback."""
    return ClusterConfig(name=f"inbound|{port}||", host="127.0.0.1", port=port, tls="DISABLE")
