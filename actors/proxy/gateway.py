"""The edge of a gateway's port: from outside the mesh to its services."""

from tulle.actors.proxy.client import ClientConnection, forwarded_lines
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.wire.request_head import FORWARDED_FOR, FORWARDED_PROTO, RequestHead
from tulle.policies.decide.route import Chooser
from tulle.policies.reasons import NO_GATEWAY, ROUTE_NOT_FOUND


class GatewayEdge(BaseEdge):
    """`choose` is None until a Gateway selects the pool and port."""

    def __init__(self, around: Surroundings, port: int = 0) -> None:
        super().__init__(around, "source", port)
        self.choose: Chooser[Cluster] | None = None

    def greet(self, client: ClientConnection) -> bool:
        """Everybody is welcome; upstreams are told by which scheme they came."""
        if client.encrypted:
            client.forwarded = forwarded_lines(client.peername, b"https")
        return super().greet(client)

    def install_scheme(self, encrypted: bool) -> None:
        """Connections of the other scheme end with their next answer."""
        for client in list(self.connections):
            if client.encrypted is not encrypted:
                self.leave(client)

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
        forwarded = exchange.client.forwarded
        noted = head.noted
        if noted and (FORWARDED_FOR in noted or FORWARDED_PROTO in noted):
            forwarded = _take_forwarded(head, exchange.client)
        added = [forwarded]
        self.tracer.complete(head, added)
        cluster = choice.cluster
        if cluster is not None and cluster.mutual:
            added.append(self.peer_line)
        exchange.forward(choice, added)


def _take_forwarded(head: RequestHead, client: ClientConnection) -> bytes:
    """As Istio's gateways: x-forwarded-proto is ours, the client is last in x-forwarded-for."""
    came = head.noted.get(FORWARDED_FOR)
    head.drop({FORWARDED_FOR, FORWARDED_PROTO})
    if came is None:
        return client.forwarded
    scheme = b"https" if client.encrypted else b"http"
    return forwarded_lines(b", ".join([*came, client.peername]), scheme)
