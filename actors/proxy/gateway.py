"""The edge of a gateway's port: from outside the mesh to its services."""

from typing import Final

from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.wire.head import Headers
from tulle.actors.proxy.wire.request import FORWARDED_FOR, FORWARDED_PROTO, RequestHead
from tulle.policies.decide.route import Chooser
from tulle.policies.reasons import NO_GATEWAY, ROUTE_NOT_FOUND

_PROTO: Final = (FORWARDED_PROTO, b"http")
NOTHING: Final[Headers] = []


class GatewayEdge(BaseEdge):
    """`choose` is None until a Gateway selects the pool and port."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around, "source")
        self.choose: Chooser[Cluster] | None = None

    def admit(self, exchange: Exchange) -> None:
        """Routes by authority, path, headers and method."""
        choose = self.choose
        if choose is None:
            exchange.refuse(NO_GATEWAY)
            return
        head = exchange.head
        choice = choose(head.method, head.path, head.authority, head.headers, self.uniform())
        if choice is None:
            exchange.refuse(ROUTE_NOT_FOUND)
            return
        _append_forwarded(head, exchange.client.peername)
        self.tracer.complete(head)
        cluster = choice.cluster
        exchange.forward(cluster, choice.timeout, self.peer_headers if cluster.mutual else NOTHING)


def _append_forwarded(head: RequestHead, client: bytes) -> None:
    """As Istio's gateways: the client appended to x-forwarded-for, x-forwarded-proto ours."""
    if head.noted and (FORWARDED_FOR in head.noted or FORWARDED_PROTO in head.noted):
        came = head.noted.get(FORWARDED_FOR, [])
        head.drop({FORWARDED_FOR, FORWARDED_PROTO})
        client = b", ".join([*came, client])
    head.headers += ((FORWARDED_FOR, client), _PROTO)
