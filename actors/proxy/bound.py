"""What stands before an edge for one connection that is special; others meet the edge itself.

So a feature that no policy asks for costs a request nothing. Counterpart: edge.py, which binds
connections, and binds them anew when config changes.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from tulle.actors.proxy.exchange import Exchange
from tulle.policies.decide.authorize import Denial, RequestAuthorizer
from tulle.policies.decide.paths import settled
from tulle.policies.reasons import MISDIRECTED_REQUEST, RBAC_DENIED, Reason

if TYPE_CHECKING:
    from tulle.actors.proxy.client import ClientConnection
    from tulle.actors.proxy.edge import BaseEdge
    from tulle.actors.proxy.server_tls import ServerNames
    from tulle.policies.config import ServerTls


class Bound:
    """The `Edge` of one connection.

    `authorize` is asked for each request. `leaves`: the next answer is the connection's last.
    `barred`: its next request ends it. `names`, if there are several servers at the port: `server`
    is the one that its TLS ended at, and the only one whose hosts it may ask for.
    """

    __slots__ = (
        "authorize",
        "barred",
        "edge",
        "leaves",
        "names",
        "port",
        "server",
        "uniform",
        "unrouted",
    )

    def __init__(
        self,
        edge: "BaseEdge",
        authorize: RequestAuthorizer | None = None,
        leaves: bool = False,
        barred: bool = False,
    ) -> None:
        self.edge = edge
        self.port, self.uniform, self.unrouted = edge.port, edge.uniform, edge.unrouted
        self.authorize = authorize
        self.leaves = leaves
        self.barred = barred
        self.names: ServerNames | None = None
        self.server: ServerTls | None = None

    @property
    def draining(self) -> bool:
        """Whether this answer is the last."""
        return self.leaves or self.barred or self.edge.draining

    def greet(self, client: "ClientConnection") -> bool:
        """As the edge."""
        return self.edge.greet(client)

    def part(self, client: "ClientConnection") -> None:
        """As the edge."""
        self.edge.part(client)

    def admit(self, exchange: Exchange) -> None:
        """Refuses what the policies deny; the rest is the edge's, with the path they judged."""
        if self.barred:
            exchange.client.close()  # not reset: the answer before may be on its way
            return
        head = exchange.head
        if self.names is not None and self.names.find(head.host.host) is not self.server:
            exchange.refuse(MISDIRECTED_REQUEST)
            return
        if self.authorize is not None:
            head.path = settled(head.path)
            denial = self.authorize(head.method, head.path, head.authority, head.headers)
            if denial is not None:
                exchange.recorder = self.edge.recorder_of(exchange)
                exchange.refuse(denied(denial))
                return
        self.edge.admit(exchange)

    def connect(self, exchange: Exchange) -> None:
        """As the edge, unless the connection is to end."""
        if self.barred:
            exchange.client.abort()
        else:
            self.edge.connect(exchange)


def denied(denial: Denial) -> Reason:
    """The reason, with what decided and about whom."""
    return replace(RBAC_DENIED, sentence=f"RBAC: access denied. {denial.detail}")
