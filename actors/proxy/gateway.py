"""The edge of a gateway's port: from outside the mesh to its services."""

from tulle.actors.proxy.bound import Bound
from tulle.actors.proxy.client import ClientConnection, forwarded_lines
from tulle.actors.proxy.cluster import Cluster
from tulle.actors.proxy.edge import BaseEdge, Surroundings
from tulle.actors.proxy.exchange import Exchange
from tulle.actors.proxy.server_tls import ServerNames
from tulle.actors.proxy.wire.request_head import FORWARDED_FOR, FORWARDED_PROTO, RequestHead
from tulle.policies.config import ServerTls
from tulle.policies.decide.route import Chooser
from tulle.policies.reasons import NO_GATEWAY, ROUTE_NOT_FOUND


class GatewayEdge(BaseEdge):
    """`choose` is None until a Gateway selects the pool and port."""

    def __init__(self, around: Surroundings, port: int = 0) -> None:
        super().__init__(around, "source", port)
        self.choose: Chooser[Cluster] | None = None
        self._names: ServerNames | None = None

    def greet(self, client: ClientConnection) -> bool:
        """Everybody is welcome; upstreams are told by which scheme they came.

        But who has not shown what the port asks for since the connection was accepted.
        """
        if client.encrypted:
            client.forwarded = forwarded_lines(client.peername, b"https")
        if self._names is not None and not _fits(client, self._names):
            return False
        welcome = super().greet(client)
        self._place(client)
        return welcome

    def install_servers(self, names: ServerNames | None) -> None:
        """The servers of an HTTPS port; None: it is plain.

        Connections of the other scheme end with their next answer. Those get no answer any more
        whose server is gone, or verifies clients, and did not or by another CA when they came.
        """
        before, self._names = self._names, names
        for client in list(self.connections):
            if names is not None and _asks_anew(before, names, client):
                self.bar(client)
            elif client.encrypted is (names is None):
                self.leave(client)
            self._place(client)

    def _place(self, client: ClientConnection) -> None:
        """Keeps a connection to the hosts of its server, where the port has several."""
        names = self._names
        if names is None or not client.encrypted or not names.several:
            names = None
        if names is not None and not isinstance(client.edge, Bound):
            client.edge = Bound(self)
        if isinstance(client.edge, Bound):
            client.edge.names = names
            client.edge.server = names.find(client.sni) if names is not None else None

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
        self.tracer.complete(head)
        added = [forwarded]
        cluster = choice.cluster
        if cluster is not None and cluster.mutual:
            added.append(self.peer_line)
        exchange.forward(choice, added)


def _fits(client: ClientConnection, names: ServerNames) -> bool:
    """Whether a new connection came as one of the servers asks."""
    server = names.find(client.sni)
    tls = client.transport.get_extra_info("ssl_object")
    if server is None or tls is None:
        return False
    return server.mode != "MUTUAL" or tls.getpeercert(binary_form=True) is not None


def _asks_anew(before: ServerNames | None, names: ServerNames, client: ClientConnection) -> bool:
    """Whether a connection's server is gone, or verifies clients, and not as it did before."""
    if not client.encrypted:
        return names.verifies
    server = names.find(client.sni)
    if server is None or server.mode != "MUTUAL":
        return server is None
    was = before.find(client.sni) if before is not None else None
    return was is None or _trust(was) != _trust(server)


def _trust(server: ServerTls) -> tuple[str, str, str]:
    return server.mode, server.credential, server.ca_certificates


def _take_forwarded(head: RequestHead, client: ClientConnection) -> bytes:
    """As Istio's gateways: x-forwarded-proto is ours, the client is last in x-forwarded-for."""
    came = head.noted.get(FORWARDED_FOR)
    head.drop({FORWARDED_FOR, FORWARDED_PROTO})
    if came is None:
        return client.forwarded
    scheme = b"https" if client.encrypted else b"http"
    return forwarded_lines(b", ".join([*came, client.peername]), scheme)
