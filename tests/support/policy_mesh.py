"""A mesh made of policies alone: YAML -> world -> config -> what happens to a request.

    mesh = Mesh(YAML)
    mesh.send("GET http://reviews:9080/ratings", "end-user: jason")   # "reviews v2"
    mesh.enter("GET http://shop.example/cart")                        # through the ingress gateway

An answer is `host subset`, or `status reason` where the proxy answers by itself, or `passthrough`,
and behind it all else that the policy does with the request: see `policy_story`.
"""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlsplit

from tests.support.policy_story import Request, tell, told_reason
from tulle.policies import reasons
from tulle.policies.apply import Outcome, apply
from tulle.policies.compile.world import compile_all
from tulle.policies.config import Cluster, GatewayConfig, HostsConfig, OutboundConfig, PortRoutes
from tulle.policies.decide.client import DEFAULT_CLIENT, Client
from tulle.policies.decide.hosts import HostIndex
from tulle.policies.decide.route import Choice, Chooser, compile_routes, compile_virtual_hosts
from tulle.policies.parse import Parsed, parse
from tulle.policies.problems import Problem
from tulle.policies.world import INGRESS, Pool, Port, Service, World


def service(name: str, *ports: int, namespace: str = "default") -> Service:
    """A service of plain HTTP ports, 9080 unless given."""
    numbers = ports or (9080,)
    return Service(namespace, name, tuple(Port(number, f"http-{number}") for number in numbers))


BOOKINFO = tuple(service(name) for name in ("productpage", "details", "reviews", "ratings"))


def virtual_service(http: str, hosts: str = "[reviews]", gateways: str = "[mesh]") -> str:
    """A VirtualService named reviews with these http rules."""
    rules = "\n".join(f"  {line}" for line in http.strip().splitlines())
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\n"
    return f"{head}spec:\n  hosts: {hosts}\n  gateways: {gateways}\n  http:\n{rules}\n"


def parsed(text: str, file: str = "test.yaml") -> Parsed:
    """Parsed policies, which must have no errors."""
    result = parse(text, file)
    assert not [p for p in result.problems if p.severity == "error"], result.problems
    return result


def applied(world: World, text: str, revision: int = 1, file: str = "test.yaml") -> Outcome:
    """The outcome of applying `text`."""
    return apply(world, parsed(text, file).documents, revision)


class Mesh:
    """The config of a world, and requests decided by it."""

    def __init__(
        self,
        *texts: str,
        services: Iterable[Service] = BOOKINFO,
        pools: Iterable[Pool] = (INGRESS,),
    ) -> None:
        """Applies `texts` one after another, at revisions 1, 2, ..."""
        self.world = World.of((), services, pools)
        self.problems: list[Problem] = []
        for revision, text in enumerate(texts, start=1):
            outcome = applied(self.world, text, revision)
            assert outcome.ok, outcome.problems
            self.world = outcome.world
            self.problems += outcome.problems
        self.configs = compile_all(self.world)

    def send(
        self,
        request: str,
        *headers: str,
        uniform: float = 0.0,
        namespace: str = "default",
        labels: dict[str, str] | None = None,
    ) -> str:
        """What a sidecar of `namespace` does with `GET http://host:port/path` and its headers.

        Told as tests.support.policy_story does: `reviews v2; delay 7 s`.
        """
        asked = _read(request, headers)
        hosts = self.configs["hosts",]
        assert isinstance(hosts, HostsConfig)
        host = _host(asked)
        entry = HostIndex(hosts, namespace).find(host)
        if entry is None:
            return "passthrough"
        config = self.configs["outbound", entry.key]
        assert isinstance(config, OutboundConfig)
        routes = _port_routes(config, asked.port)
        if routes is None:
            return told_reason(reasons.UNKNOWN_PORT)
        client = Client(namespace, tuple(sorted((labels or {}).items())))
        clusters = {cluster.name: cluster for cluster in config.clusters}
        return tell(_choose(compile_routes(routes.routes, clusters, client), asked, uniform), asked)

    def choice(self, request: str, *headers: str, pool: str = "") -> Choice[Cluster] | None:
        """The whole choice behind `send`, or `enter` when a pool is given."""
        asked = _read(request, headers)
        if pool:
            chooser = self._listener(pool, asked.port, DEFAULT_CLIENT)
        else:
            config = self.outbound(_host(asked))
            routes = _port_routes(config, asked.port)
            assert routes is not None
            chooser = compile_routes(routes.routes, {c.name: c for c in config.clusters})
        assert chooser is not None
        return _choose(chooser, asked, 0.0)

    def outbound(self, host: str) -> OutboundConfig:
        """The outbound config of a service of the default namespace, or of a full name."""
        name = host if "." in host else f"{host}.default.svc.cluster.local"
        config = self.configs["outbound", name]
        assert isinstance(config, OutboundConfig)
        return config

    def gateway(self, pool: str = "ingress") -> GatewayConfig:
        """The config of a pool."""
        config = self.configs["gateway", pool]
        assert isinstance(config, GatewayConfig)
        return config

    def enter(
        self, request: str, *headers: str, uniform: float = 0.0, pool: str = "ingress"
    ) -> str:
        """What a gateway of `pool` does with a request to its port."""
        asked = _read(request, headers)
        labels = next(p.labels for p in self.world.pools if p.name == pool)
        client = Client("istio-system", labels, asked.scheme)
        chooser = self._listener(pool, asked.port, client)
        if chooser is None:
            return told_reason(reasons.NO_GATEWAY)
        return tell(_choose(chooser, asked, uniform), asked)

    def warnings(self) -> list[str]:
        """What the applies warned of, as `code path`."""
        return [f"{problem.code} {problem.path}" for problem in self.problems]

    def _listener(self, pool: str, port: int, client: Client) -> Chooser[Cluster] | None:
        config = self.gateway(pool)
        clusters = {cluster.name: cluster for cluster in config.clusters}
        for listener in config.listeners:
            if listener.port == port:
                return compile_virtual_hosts(listener.virtual_hosts, clusters, client)
        return None


def _read(request: str, headers: Iterable[str]) -> Request:
    method, url = request.split(" ")
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    pairs = (header.split(": ", 1) for header in headers)
    return Request(
        method.encode(),
        path.encode(),
        parts.netloc.encode(),
        [(name.lower().encode(), value.encode()) for name, value in pairs],
        parts.port or (443 if scheme == "https" else 80),
        scheme,
    )


def _host(request: Request) -> str:
    return urlsplit(f"//{request.authority.decode()}").hostname or ""


def _choose(chooser: Chooser[Cluster], request: Request, uniform: float) -> Choice[Cluster] | None:
    return chooser(request.method, request.path, request.authority, request.headers, uniform)


def _port_routes(config: OutboundConfig, port: int) -> PortRoutes | None:
    if len(config.ports) == 1:
        return config.ports[0]
    return next((routes for routes in config.ports if routes.port == port), None)
