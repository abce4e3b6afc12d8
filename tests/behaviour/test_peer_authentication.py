"""Plain or mTLS: what servers ask for under PeerAuthentications, and what clients then speak."""

import zlib
from collections.abc import Iterable, Mapping

import pytest

from tests.support.policy_mesh import Mesh
from tests.support.servers import Server
from tulle.policies.config import Cluster

PEER = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def peer(spec: str, namespace: str = "default") -> str:
    name = f"p{zlib.crc32(spec.encode())}"
    return PEER.format(name=name, namespace=namespace, spec=spec)


def mesh(mode: str) -> str:
    return peer(f"{{mtls: {{mode: {mode}}}}}", "istio-system")


def wide(mode: str) -> str:
    return peer(f"{{mtls: {{mode: {mode}}}}}")


def workload(mode: str, app: str = "details", ports: str = "", namespace: str = "default") -> str:
    levels = f", portLevelMtls: {{{ports}}}" if ports else ""
    spec = f"{{selector: {{matchLabels: {{app: {app}}}}}, mtls: {{mode: {mode}}}{levels}}}"
    return peer(spec, namespace)


@pytest.mark.parametrize(
    ("policies", "port", "mode"),
    [
        pytest.param((), 9080, "STRICT", id="nothing said: mTLS alone"),
        pytest.param(
            (mesh("PERMISSIVE"),), 9080, "PERMISSIVE", id="the mesh opens for plain callers"
        ),
        pytest.param((mesh("DISABLE"),), 9080, "DISABLE", id="the mesh without mTLS"),
        pytest.param((mesh("UNSET"),), 9080, "STRICT", id="UNSET in the mesh is STRICT"),
        pytest.param(
            (mesh("PERMISSIVE"), wide("STRICT")), 9080, "STRICT", id="a namespace closes again"
        ),
        pytest.param(
            (mesh("PERMISSIVE"), wide("UNSET")),
            9080,
            "PERMISSIVE",
            id="UNSET in a namespace inherits",
        ),
        pytest.param(
            (wide("STRICT"), workload("PERMISSIVE")), 9080, "PERMISSIVE", id="a workload opens"
        ),
        pytest.param(
            (wide("PERMISSIVE"), workload("STRICT", "ratings")),
            9080,
            "PERMISSIVE",
            id="another workload's policy does not count",
        ),
        pytest.param(
            (mesh("PERMISSIVE"), workload("UNSET")),
            9080,
            "PERMISSIVE",
            id="UNSET on a workload inherits",
        ),
        pytest.param(
            (workload("STRICT", ports="9080: {mode: PERMISSIVE}"),),
            9080,
            "PERMISSIVE",
            id="a port opens",
        ),
        pytest.param(
            (workload("STRICT", ports="9080: {mode: PERMISSIVE}"),),
            9081,
            "STRICT",
            id="others stay",
        ),
        pytest.param(
            (workload("PERMISSIVE", ports="9080: {mode: UNSET}"),),
            9080,
            "PERMISSIVE",
            id="UNSET on a port is the workload's",
        ),
        pytest.param(
            (workload("PERMISSIVE", ports="9080: {}"),),
            9080,
            "PERMISSIVE",
            id="so is an empty port",
        ),
        pytest.param(
            (peer("{mtls: {mode: PERMISSIVE}}", "shop"),), 9080, "STRICT", id="another namespace's"
        ),
        pytest.param(
            (workload("PERMISSIVE"), peer("{selector: {matchLabels: {app: details}}}")),
            9080,
            "PERMISSIVE",
            id="of two for one workload the older counts",
        ),
        pytest.param(
            (peer("{selector: {matchLabels: {app: details}}}"), workload("PERMISSIVE")),
            9080,
            "STRICT",
            id="the older counts also when it says nothing",
        ),
        pytest.param(
            (wide("PERMISSIVE"), peer("{mtls: {mode: DISABLE}, selector: {}}")),
            9080,
            "PERMISSIVE",
            id="an empty selector is the whole namespace: the older counts",
        ),
        pytest.param(
            (workload("PERMISSIVE", namespace="istio-system"),),
            9080,
            "PERMISSIVE",
            id="a selector of the root namespace selects in all",
        ),
    ],
)
def test_what_a_server_asks_of_its_peers(policies: Iterable[str], port: int, mode: str) -> None:
    assert Server(*policies).mode(port) == mode


def test_what_is_deleted_holds_no_longer() -> None:
    server = Server(mesh("PERMISSIVE"))
    assert server.mode() == "PERMISSIVE"
    assert Server().mode() == "STRICT"


# -- what clients speak ---------------------------------------------------------------------------


def cluster(*policies: str) -> Cluster:
    [found] = Mesh(*policies).outbound("details").clusters
    return found


def spoken(found: Cluster, labels: Mapping[str, str]) -> str:
    """As `Cluster` says it: mTLS, but not to workloads for which the first that fits is DISABLE."""
    for entry in found.peer_modes:
        fits = set(entry.labels) <= set(labels.items()) and entry.port in (0, found.port)
        if fits:
            return "plain" if entry.mode == "DISABLE" else "mTLS"
    return "mTLS"


@pytest.mark.parametrize(
    ("policies", "labels", "expected"),
    [
        pytest.param((), {"app": "details"}, "mTLS", id="mTLS without a policy"),
        pytest.param((mesh("PERMISSIVE"),), {"app": "details"}, "mTLS", id="mTLS to PERMISSIVE"),
        pytest.param(
            (mesh("DISABLE"),), {"app": "details"}, "plain", id="plain where the mesh says so"
        ),
        pytest.param(
            (mesh("DISABLE"), wide("STRICT")), {"app": "details"}, "mTLS", id="the namespace first"
        ),
        pytest.param(
            (workload("DISABLE"),), {"app": "details"}, "plain", id="plain to the workload selected"
        ),
        pytest.param(
            (workload("DISABLE", "other"),), {"app": "details"}, "mTLS", id="mTLS to the others"
        ),
        pytest.param(
            (workload("STRICT", ports="9080: {mode: DISABLE}"),),
            {"app": "details"},
            "plain",
            id="plain on the port that says so",
        ),
        pytest.param(
            (workload("STRICT", ports="81: {mode: DISABLE}"),),
            {"app": "details"},
            "mTLS",
            id="mTLS on the other ports",
        ),
        pytest.param(
            (mesh("DISABLE"), workload("STRICT")),
            {"app": "details"},
            "mTLS",
            id="the workload first",
        ),
    ],
)
def test_what_a_client_speaks_is_what_the_server_takes(
    policies: tuple[str, ...], labels: Mapping[str, str], expected: str
) -> None:
    assert spoken(cluster(*policies), labels) == expected
    takes = Server(*policies, labels=labels).mode(9080)
    assert (takes == "DISABLE") == (expected == "plain")


def test_clusters_say_nothing_of_modes_while_none_is_disable() -> None:
    assert cluster(mesh("PERMISSIVE"), workload("STRICT")).peer_modes == ()
