"""Servers of a mesh made of policies alone: YAML -> inbound config -> what happens to a caller.

    server = Server(YAML, labels={"app": "details"})
    server.answer("GET /details/0", "productpage")           # "allowed"
    server.answer("GET /details/0", "shop/cart", "x-a: 1")   # "403 rbac_denied by ... rules[0]"
    server.mode(9080)                                         # "STRICT"

A caller is a service account of namespace default, `namespace/account`, or `plain`: without mTLS.
"""

from collections.abc import Mapping

from tests.support.policy_mesh import Mesh
from tulle.policies import reasons
from tulle.policies.config import InboundConfig, decode, encode
from tulle.policies.decide.authorize import Caller, Denial, compile_authorizer
from tulle.policies.decide.peers import Mode, mode_of

ROOT = "istio-system"


def caller(who: str, address: str = "10.0.0.1", port: int = 9080, sni: str = "") -> Caller:
    """The other end of a connection to a service port."""
    if who == "plain":
        return Caller(address=address, port=port, sni=sni)
    namespace, account = who.split("/") if "/" in who else ("default", who)
    principal = f"cluster.local/ns/{namespace}/sa/{account}"
    return Caller(principal, namespace, account, address, port, sni)


class Server:
    """A workload and the config that its proxy holds."""

    def __init__(
        self, *texts: str, labels: Mapping[str, str] | None = None, namespace: str = "default"
    ) -> None:
        """Applies `texts` one after another, so that the first is the oldest."""
        self.mesh = Mesh(*texts)
        self.labels = tuple(sorted((labels or {"app": "details"}).items()))
        self.namespace = namespace
        held = [self.mesh.configs.get(("inbound", name)) for name in (namespace, ROOT)]
        # Over the wire, as a proxy gets them.
        configs = [decode(encode(config)) for config in held if config is not None]
        self.configs = [config for config in configs if isinstance(config, InboundConfig)]

    def mode(self, port: int = 9080) -> Mode:
        """What it asks of peers on a service port."""
        return mode_of(self.configs, ROOT, self.namespace, self.labels, port)

    def denial(self, request: str, peer: Caller, *headers: str) -> Denial | None:
        """The denial of `GET /path`, `GET http://host/path`; None when it is allowed."""
        authorizer = compile_authorizer(self.configs, ROOT, self.namespace, self.labels)
        bound = authorizer.bind(peer) if authorizer is not None else None
        if bound is None:
            return None
        method, target = request.split(" ", 1)
        authority, path = "details:9080", target
        if target.startswith("http://"):
            authority, slash, rest = target.removeprefix("http://").partition("/")
            path = slash + rest or "/"
        pairs = [header.split(": ", 1) for header in headers]
        lines = [(name.lower().encode(), value.encode()) for name, value in pairs]
        return bound(method.encode(), path.encode(), authority.encode(), lines)

    def answer(self, request: str, peer: Caller | str, *headers: str) -> str:
        """`allowed`, `403 rbac_denied by <policy> <rule>`, or `403 rbac_denied: not allowed`."""
        found = self.denial(request, caller(peer) if isinstance(peer, str) else peer, *headers)
        if found is None:
            return "allowed"
        reason = f"{reasons.RBAC_DENIED.status} {reasons.RBAC_DENIED.name}"
        return (
            f"{reason} by {found.policy} {found.rule}" if found.policy else f"{reason}: not allowed"
        )
