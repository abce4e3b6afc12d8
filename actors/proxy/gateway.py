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

        But who has shown no certificate to a server that asks for one since the handshake began.
        """
        if client.encrypted:
            client.forwarded = forwarded_lines(client.peername, b"https")
            server = self._names.find(client.sni) if self._names is not None else None
            if server is not None and server.mode == "MUTUAL" and not _is_known(client):
                return False
        welcome = super().greet(client)
        self._place(client)
        return welcome

    def install_servers(self, names: ServerNames | None) -> None:
        """The servers of an HTTPS port; None: it is plain.

        Connections of the other scheme end with their next answer. Those whose server verifies
        clients, and did not or by another CA when they came, are asked for nothing any more.
        """
        before, self._names = self._names, names
        for client in list(self.connections):
            if client.encrypted is (names is None):
                self.leave(client)
            elif names is not None and _asks_anew(before, names, client.sni):
                self.bar(client)
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
        added = [forwarded]
        self.tracer.complete(head, added)
        cluster = choice.cluster
        if cluster is not None and cluster.mutual:
            added.append(self.peer_line)
        exchange.forward(choice, added)


def _is_known(client: ClientConnection) -> bool:
    tls = client.transport.get_extra_info("ssl_object")
    return tls.getpeercert(binary_form=True) is not None


def _asks_anew(before: ServerNames | None, names: ServerNames, sni: str) -> bool:
    """Whether the server of `sni` verifies clients, and not as it did before."""
    server = names.find(sni)
    if server is None or server.mode != "MUTUAL":
        return False
    was = before.find(sni) if before is not None else None
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
