"""Our own contestant, compiled: the gateway sends every path to the one static endpoint."""

from tulle.load import ours
from tulle.load.scenarios import HOST
from tulle.policies.compile.world import compile_all
from tulle.policies.config import GatewayConfig, StaticEndpoint
from tulle.policies.parse import parse
from tulle.policies.validate import check
from tulle.policies.world import Policy, World


def test_the_policies_are_accepted_and_route_to_the_backend() -> None:
    parsed = parse(ours.policies(18081), "tulle.yaml")
    world = World.of(Policy(document, 1) for document in parsed.documents)
    assert [*parsed.problems, *check(world, parsed.documents)] == []
    gateway = compile_all(world)[("gateway", "ingress")]
    assert isinstance(gateway, GatewayConfig)
    (host,) = gateway.listeners[0].virtual_hosts
    assert HOST in host.domains
    (cluster,) = gateway.clusters
    assert cluster.endpoints == (StaticEndpoint("127.0.0.1", 18081),)
    assert cluster.tls == "DISABLE"
