"""The edge of a sidecar's inbound port: from peers, over mTLS, to the app on loopback."""

import asyncio
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
from tulle.policies.decide.plan import NO_RETRY

Identify = Callable[[asyncio.BaseTransport], str | None]

RECORDERS: Final = 4_096  # peers remembered; a peer may call itself anything


class InboundEdge(BaseEdge):
    """`app` is the one endpoint; `identify` tells the SPIFFE id that a peer proved."""

    def __init__(self, around: Surroundings, app: Cluster, identify: Identify) -> None:
        super().__init__(around, "destination")
        self._choice = only_choice(app, NO_RETRY)
        self._identify = identify
        self._recorders: dict[tuple[str, bytes], Recorder] = {}

    def greet(self, client: ClientConnection) -> bool:
        """Talks to nobody who has not proved who they are."""
        client.principal = self._identify(client.transport) or ""
        return bool(client.principal) and super().greet(client)

    def admit(self, exchange: Exchange) -> None:
        """All of its requests are the app's."""
        head = exchange.head
        name = (head.first(PEER_HEADER) or b"") if head.noted else b""
        recorder = self._recorders.get((exchange.client.principal, name))
        if recorder is None:
            recorder = self._recorder(exchange.client.principal, name)
        added: list[bytes] = []
        self.tracer.complete(head, added)
        exchange.forward(self._choice, added, recorder)

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
        )
        if len(self._recorders) >= RECORDERS:
            self._recorders.clear()
        self._recorders[principal, name] = recorder
        return recorder


def app_cluster(port: int) -> ClusterConfig:
    """The cluster of the app's port on loopback."""
    return ClusterConfig(name=f"inbound|{port}||", host="127.0.0.1", port=port, tls="DISABLE")
