"""What clients are told of the modes of a service's workloads."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import policy_strategies
from tests.support.policy_mesh import Mesh, service
from tulle.policies.compile.peer_modes import peer_modes
from tulle.policies.compile.world import compile_all, compile_world, difference
from tulle.policies.config import InboundConfig, Labels, PeerMode
from tulle.policies.decide.peers import mode_of
from tulle.policies.resolve import Index
from tulle.policies.world import Policy, World

ROOT = "istio-system"
PEER = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def peer(name: str, spec: str, namespace: str = "default") -> str:
    return PEER.format(name=name, namespace=namespace, spec=spec)


def modes(*texts: str, port: int = 9080, labels: Labels = ()) -> tuple[PeerMode, ...]:
    mesh = Mesh(*texts, services=[service("a", 81, 9080)])
    backend = Index(mesh.world).backend("a.default.svc.cluster.local")
    return peer_modes(backend, port, labels)


V1 = "selector: {matchLabels: {version: v1}}"


def test_nothing_is_told_while_none_is_disable() -> None:
    assert modes() == ()
    assert modes(peer("p", "{mtls: {mode: PERMISSIVE}}")) == ()
    assert modes(peer("p", "{mtls: {mode: DISABLE}}", "shop")) == ()


def test_all_that_is_relevant_is_told_in_order() -> None:
    texts = (
        peer("mesh", "{mtls: {mode: DISABLE}}", ROOT),
        peer("one", f"{{{V1}, mtls: {{mode: STRICT}}}}"),
        peer("two", "{selector: {matchLabels: {app: a}}, mtls: {mode: UNSET}}"),
    )
    assert modes(*texts) == (
        PeerMode((("version", "v1"),), 0, "STRICT"),
        PeerMode((("app", "a"),), 0, "DISABLE"),
        PeerMode((), 0, "DISABLE"),
    )


def test_a_port_of_its_own_is_told_for_that_port() -> None:
    text = peer(
        "p", f"{{{V1}, mtls: {{mode: STRICT}}, portLevelMtls: {{9080: {{mode: DISABLE}}}}}}"
    )
    assert modes(text) == (
        PeerMode((("version", "v1"),), 9080, "DISABLE"),
        PeerMode((), 0, "STRICT"),
    )
    assert modes(text, port=81) == ()


def test_a_subset_is_told_nothing_of_workloads_that_it_can_not_hold() -> None:
    text = peer("p", f"{{{V1}, mtls: {{mode: DISABLE}}}}")
    assert modes(text, labels=(("version", "v2"),)) == ()
    assert len(modes(text, labels=(("version", "v1"),))) == 2
    assert len(modes(text, labels=(("app", "a"),))) == 2


def test_what_an_older_policy_decides_for_the_same_workloads_is_not_told() -> None:
    narrower = "selector: {matchLabels: {version: v1, app: a}}, mtls: {mode: STRICT}"
    texts = peer("one", f"{{{V1}, mtls: {{mode: DISABLE}}}}"), peer("two", f"{{{narrower}}}")
    assert [mode.labels for mode in modes(*texts)] == [(("version", "v1"),), ()]


security = policy_strategies.peer_authentications
peers = st.builds(
    lambda namespace, name, spec, created: Policy(
        policy_strategies.document("PeerAuthentication", namespace, name, spec), created
    ),
    st.sampled_from(["default", "shop", ROOT]),
    st.sampled_from("abcd"),
    security,
    st.integers(1, 3),
)


@given(st.lists(peers, max_size=6))
@settings(max_examples=150)
def test_the_first_that_fits_is_what_the_server_asks_for(policies: list[Policy]) -> None:
    """Or nothing is told, and then no workload of the service says DISABLE."""
    world = World.of(policies, [service("a", 80, 9080)])
    backend = Index(world).backend("a.default.svc.cluster.local")
    configs = [c for c in compile_all(world).values() if isinstance(c, InboundConfig)]
    for port, app in itertools.product((80, 9080), ("a", "b", "c")):
        labels = (("app", app),)
        told = peer_modes(backend, port, ())
        wanted = mode_of(configs, ROOT, "default", labels, port)
        fits = [m.mode for m in told if set(m.labels) <= set(labels) and m.port in (0, port)]
        assert fits[0] == wanted if told else wanted != "DISABLE"


def test_a_change_recompiles_the_hosts_that_it_concerns_and_no_others() -> None:
    services = [service("a"), service("b"), service("c", namespace="shop")]
    before = compile_world(World.of((), services))
    strict = compile_world(Mesh(peer("p", "{}"), services=services).world, before)
    assert list(difference(before.configs, strict.configs).changed) == [("inbound", "default")]
    plain = compile_world(
        Mesh(peer("p", "{mtls: {mode: DISABLE}}"), services=services).world, strict
    )
    assert sorted(difference(strict.configs, plain.configs).changed) == [
        ("inbound", "default"),
        ("outbound", "a.default.svc.cluster.local"),
        ("outbound", "b.default.svc.cluster.local"),
    ]
    untouched = ("outbound", "c.shop.svc.cluster.local")
    assert plain.configs[untouched] is before.configs[untouched]
