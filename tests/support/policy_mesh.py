"""A mesh made of policies alone: YAML -> world -> config -> what happens to a request.

    mesh = Mesh(YAML)
    mesh.send("GET http://reviews:9080/ratings", "end-user: jason")   # "reviews v2"
    mesh.enter("GET http://shop.example/cart")                        # through the ingress gateway

An answer is `host subset`, or `status reason` where the proxy answers by itself, or `passthrough`.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from tulle.policies import reasons
from tulle.policies.apply import Outcome, apply
from tulle.policies.compile.world import compile_all
from tulle.policies.config import Cluster, GatewayConfig, HostsConfig, OutboundConfig, PortRoutes
from tulle.policies.decide.hosts import HostIndex
from tulle.policies.decide.match import Headers
from tulle.policies.decide.route import Choice, Chooser, compile_routes, compile_virtual_hosts
from tulle.policies.parse import Parsed, parse
from tulle.policies.problems import Problem
from tulle.policies.world import INGRESS, Pool, Port, Service, World


def service(name: str, *ports: int, namespace: str = "default") -> Service:
    """A service of plain HTTP ports, 9080 unless given."""
    numbers = ports or (9080,)
    return Service(namespace, name, tuple(Port(number, f"http-{number}") for number in numbers))


BOOKINFO = tuple(service(name) for name in ("productpage", "details", "reviews", "ratings"))


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
        self, request: str, *headers: str, uniform: float = 0.0, namespace: str = "default"
    ) -> str:
        """What a sidecar of `namespace` does with `GET http://host:port/path` and its headers."""
        method, host, port, path, authority = _read(request)
        hosts = self.configs["hosts",]
        assert isinstance(hosts, HostsConfig)
        entry = HostIndex(hosts, namespace).find(host)
        if entry is None:
            return "passthrough"
        config = self.configs["outbound", entry.key]
        assert isinstance(config, OutboundConfig)
        routes = _port_routes(config, port)
        if routes is None:
            return _reason(reasons.UNKNOWN_PORT)
        chooser = compile_routes(routes.routes, {c.name: c for c in config.clusters})
        return _answer(chooser, method, path, authority, _headers(headers), uniform)

    def choice(self, request: str, *headers: str, pool: str = "") -> Choice[Cluster] | None:
        """The whole choice behind `send`, or `enter` when a pool is given."""
        method, host, port, path, authority = _read(request)
        if pool:
            chooser = self._listener(pool, port)
        else:
            config = self.outbound(host)
            routes = _port_routes(config, port)
            assert routes is not None
            chooser = compile_routes(routes.routes, {c.name: c for c in config.clusters})
        assert chooser is not None
        return chooser(method, path, authority, _headers(headers), 0.0)

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
        method, _, port, path, authority = _read(request)
        chooser = self._listener(pool, port)
        if chooser is None:
            return _reason(reasons.NO_GATEWAY)
        return _answer(chooser, method, path, authority, _headers(headers), uniform)

    def warnings(self) -> list[str]:
        """What the applies warned of, as `code path`."""
        return [f"{problem.code} {problem.path}" for problem in self.problems]

    def _listener(self, pool: str, port: int) -> Chooser[Cluster] | None:
        config = self.gateway(pool)
        clusters = {cluster.name: cluster for cluster in config.clusters}
        for listener in config.listeners:
            if listener.port == port:
                return compile_virtual_hosts(listener.virtual_hosts, clusters)
        return None


def _read(request: str) -> tuple[bytes, str, int, bytes, bytes]:
    method, url = request.split(" ")
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    authority = parts.netloc.encode()
    return method.encode(), parts.hostname or "", parts.port or 80, path.encode(), authority


def _headers(headers: Iterable[str]) -> Headers:
    pairs = (header.split(": ", 1) for header in headers)
    return [(name.lower().encode(), value.encode()) for name, value in pairs]


def _port_routes(config: OutboundConfig, port: int) -> PortRoutes | None:
    if len(config.ports) == 1:
        return config.ports[0]
    return next((routes for routes in config.ports if routes.port == port), None)


def _reason(reason: reasons.Reason) -> str:
    return f"{reason.status} {reason.name}"


def _answer(
    chooser: Chooser[Cluster],
    method: bytes,
    path: bytes,
    authority: bytes,
    headers: Headers,
    uniform: float,
) -> str:
    choice = chooser(method, path, authority, headers, uniform)
    if choice is None:
        return _reason(reasons.ROUTE_NOT_FOUND)
    cluster = choice.cluster
    assert cluster is not None
    if cluster.broken:
        return _reason(reasons.REASONS[cluster.broken])
    host = cluster.host.removesuffix(".svc.cluster.local").removesuffix(".default")
    port = "" if cluster.port in (80, 9080) else f":{cluster.port}"
    return f"{host}{port} {cluster.subset}".strip()
