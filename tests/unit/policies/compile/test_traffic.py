"""Traffic policies as values. Whose counts: tests/behaviour/test_traffic_policies.py."""

import pytest

from tests.support.policy_mesh import Mesh
from tulle.policies.compile.traffic import (
    Traffic,
    balancer_of,
    limits_of,
    milliseconds,
    outlier_of,
    traffic_of,
)
from tulle.policies.config import ConnectionLimits, Outlier
from tulle.policies.resolve import Index
from tulle.policies.resources.networking.connection_pool import ConnectionPool
from tulle.policies.resources.networking.load_balancer import LoadBalancer
from tulle.policies.resources.networking.outlier import OutlierDetection

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: RANDOM}
    tls: {mode: DISABLE}
    portLevelSettings: [{port: {number: 9080}, connectionPool: {tcp: {maxConnections: 1}}}]
"""


def test_the_settings_of_a_port_are_all_that_holds_there() -> None:
    backend = Index(Mesh(RULE).world).backend("reviews.default.svc.cluster.local")
    here, elsewhere = traffic_of(backend, 9080), traffic_of(backend, 80)
    assert (here.load_balancer, here.tls) == (None, None)
    assert limits_of(here.connection_pool) == ConnectionLimits(max_connections=1)
    assert elsewhere.connection_pool is None
    assert balancer_of(elsewhere.load_balancer) == "RANDOM"


def test_without_a_rule_nothing_is_written() -> None:
    backend = Index(Mesh().world).backend("reviews.default.svc.cluster.local")
    assert traffic_of(backend, 9080) == Traffic()


@pytest.mark.parametrize(
    ("simple", "balancer"),
    [
        ("ROUND_ROBIN", "ROUND_ROBIN"),
        ("RANDOM", "RANDOM"),
        ("LEAST_CONN", "LEAST_REQUEST"),
        ("UNSPECIFIED", "LEAST_REQUEST"),
    ],
)
def test_balancers(simple: str, balancer: str) -> None:
    assert balancer_of(LoadBalancer.model_validate({"simple": simple})) == balancer


def test_a_balancer_without_a_kind_is_the_default() -> None:
    assert balancer_of(LoadBalancer()) == balancer_of(None) == "LEAST_REQUEST"


@pytest.mark.parametrize("pool", [None, {}, {"tcp": {}, "http": {}}, {"http": {"maxRetries": 0}}])
def test_a_pool_that_limits_nothing_is_none(pool: dict[str, object] | None) -> None:
    written = None if pool is None else ConnectionPool.model_validate(pool)
    assert limits_of(written) is None


def test_ejection_that_is_written_empty_has_envoys_defaults() -> None:
    assert outlier_of(None) is None
    assert outlier_of(OutlierDetection()) == Outlier()


def test_local_failures_of_0_are_off() -> None:
    written = {"splitExternalLocalOriginErrors": True, "consecutiveLocalOriginFailures": 0}
    outlier = outlier_of(OutlierDetection.model_validate(written))
    assert outlier is not None and (outlier.split, outlier.consecutive_local) == (True, 0)


@pytest.mark.parametrize(("text", "value"), [("1.5s", 1500), ("1ms", 1), ("1h", 3_600_000)])
def test_durations_are_milliseconds(text: str, value: int) -> None:
    assert milliseconds(text) == value
    assert milliseconds(None) is None
