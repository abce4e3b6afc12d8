"""What a DestinationRule decides about connections: whose setting counts, field by field."""

from collections.abc import Callable

import pytest

from tests.support.policy_mesh import BOOKINFO, Mesh, service
from tulle.policies.config import Cluster, ConnectionLimits, Outlier, UpstreamTls

HEAD = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: NAME}
spec:
  host: HOST
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {to: {exact: v1}}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews}}]
"""
SERVICES = (*BOOKINFO[:2], service("reviews", 9080, 9081), BOOKINFO[3])
POOL = "connectionPool: {tcp: {maxConnections: 5}, http: {maxRetries: 3}}"
DISABLE = "tls: {mode: DISABLE}"


def rule(
    policy: str, *, subset: str = "", name: str = "reviews", host: str = "reviews", ports: str = ""
) -> str:
    """A DestinationRule with a host's policy, one of its port 9081, and one of subset v1."""
    text = HEAD.replace("NAME", name).replace("HOST", host)
    settings = f"portLevelSettings: [{{port: {{number: 9081}}, {ports}}}]" if ports else ""
    parts = ", ".join(part for part in (policy, settings) if part)
    if parts:
        text += f"  trafficPolicy: {{{parts}}}\n"
    if subset:
        text += "  subsets:\n  - name: v1\n    labels: {version: v1}\n"
        text += f"    trafficPolicy: {{{subset}}}\n"
    return text


def cluster(*texts: str, subset: str = "", port: int = 9080) -> Cluster:
    """Where `GET http://reviews:<port>/` goes; with a subset, by a route to it."""
    mesh = Mesh(*texts, *([ROUTES] if subset else []), services=SERVICES)
    headers = [f"to: {subset}"] if subset else []
    choice = mesh.choice(f"GET http://reviews:{port}/", *headers)
    assert choice is not None and choice.cluster is not None
    return choice.cluster


HOSTS_AND_SUBSETS: list[tuple[str, Callable[[], object], object]] = [
    (
        "a host's connection pool holds for its subsets",
        lambda: cluster(rule(POOL, subset="loadBalancer: {simple: RANDOM}"), subset="v1").limits,
        ConnectionLimits(max_connections=5, max_retries=3),
    ),
    (
        "a subset's connection pool replaces the host's, all of it",
        lambda: (
            cluster(
                rule(POOL, subset="connectionPool: {tcp: {maxConnections: 9}}"), subset="v1"
            ).limits
        ),
        ConnectionLimits(max_connections=9),
    ),
    (
        "a subset's connection pool is not its host's",
        lambda: cluster(rule("", subset="connectionPool: {tcp: {maxConnections: 9}}")).limits,
        None,
    ),
    (
        "an empty connection pool of a subset takes the host's away",
        lambda: cluster(rule(POOL, subset="connectionPool: {}"), subset="v1").limits,
        None,
    ),
    (
        "a subset's balancer leaves the host's connection pool and its ejection",
        lambda: (
            cluster(
                rule(
                    f"{POOL}, outlierDetection: {{consecutive5xxErrors: 1}}",
                    subset="loadBalancer: {simple: RANDOM}",
                ),
                subset="v1",
            ).outlier
        ),
        Outlier(consecutive_5xx=1),
    ),
    (
        "a subset's ejection replaces the host's, all of it",
        lambda: (
            cluster(
                rule(
                    "outlierDetection: {consecutive5xxErrors: 1, interval: 1s}",
                    subset="outlierDetection: {consecutiveGatewayErrors: 2}",
                ),
                subset="v1",
            ).outlier
        ),
        Outlier(consecutive_gateway=2),
    ),
    (
        "a subset may be plain where its host is mTLS",
        lambda: [
            cluster(rule("tls: {mode: ISTIO_MUTUAL}", subset=DISABLE), subset=name).tls
            for name in ("", "v1")
        ],
        ["ISTIO_MUTUAL", "DISABLE"],
    ),
    (
        "a host's TLS holds for a subset that says nothing of it",
        lambda: cluster(rule(DISABLE, subset=POOL), subset="v1").tls,
        "DISABLE",
    ),
]
PORTS: list[tuple[str, Callable[[], object], object]] = [
    (
        "settings of a port are for that port alone",
        lambda: [
            cluster(rule("", ports="loadBalancer: {simple: RANDOM}"), port=port).balancer
            for port in (9080, 9081)
        ],
        ["LEAST_REQUEST", "RANDOM"],
    ),
    (
        "what a port's settings leave out is not inherited from the host",
        lambda: cluster(
            rule(
                f"{POOL}, loadBalancer: {{simple: RANDOM}}, {DISABLE}", ports="tls: {mode: SIMPLE}"
            ),
            port=9081,
        ),
        Cluster(
            "outbound|9081||reviews.default.svc.cluster.local",
            "reviews.default.svc.cluster.local",
            9081,
            service="default/reviews",
            tls="SIMPLE",
            tls_written=True,
            upstream_tls=UpstreamTls("SIMPLE"),
        ),
    ),
    (
        "a host's settings hold for a port without settings",
        lambda: cluster(rule(POOL, ports="loadBalancer: {simple: RANDOM}")).limits,
        ConnectionLimits(max_connections=5, max_retries=3),
    ),
    (
        "a subset's part replaces that of the host's port, the others stay",
        lambda: cluster(
            rule(DISABLE, ports=POOL, subset="loadBalancer: {simple: RANDOM}"),
            subset="v1",
            port=9081,
        ),
        Cluster(
            "outbound|9081|v1|reviews.default.svc.cluster.local",
            "reviews.default.svc.cluster.local",
            9081,
            subset="v1",
            service="default/reviews",
            labels=(("version", "v1"),),
            balancer="RANDOM",
            limits=ConnectionLimits(max_connections=5, max_retries=3),
        ),
    ),
    (
        "settings of a port in a subset replace all of its host's",
        lambda: (
            cluster(
                rule(
                    POOL,
                    subset="portLevelSettings: [{port: {number: 9081}, tls: {mode: DISABLE}}]",
                ),
                subset="v1",
                port=9081,
            ).limits
        ),
        None,
    ),
    (
        "settings of another port in a subset leave its host's",
        lambda: (
            cluster(
                rule(
                    POOL,
                    subset="portLevelSettings: [{port: {number: 9081}, tls: {mode: DISABLE}}]",
                ),
                subset="v1",
            ).limits
        ),
        ConnectionLimits(max_connections=5, max_retries=3),
    ),
]
RULES: list[tuple[str, Callable[[], object], object]] = [
    (
        "a rule for a wildcard holds for a host without an own one",
        lambda: cluster(rule(POOL, name="all", host="'*.default.svc.cluster.local'")).limits,
        ConnectionLimits(max_connections=5, max_retries=3),
    ),
    (
        "a rule for the host counts instead of one for a wildcard, as a whole",
        lambda: (
            cluster(
                rule(POOL, name="all", host="'*.default.svc.cluster.local'"),
                rule("loadBalancer: {simple: RANDOM}"),
            ).limits
        ),
        None,
    ),
    (
        "of two rules with a traffic policy the older one's counts, as a whole",
        lambda: cluster(rule("loadBalancer: {simple: RANDOM}"), rule(POOL, name="newer")).limits,
        None,
    ),
    (
        "a newer rule's traffic policy counts when the older has subsets alone",
        lambda: cluster(rule("", subset=DISABLE), rule(POOL, name="newer")).limits,
        ConnectionLimits(max_connections=5, max_retries=3),
    ),
    (
        "a rule of the host's own namespace counts before an older one of another",
        lambda: (
            cluster(
                rule(POOL, host="reviews.default.svc.cluster.local").replace(
                    "{name: reviews}", "{name: reviews, namespace: other}"
                ),
                rule("loadBalancer: {simple: RANDOM}"),
            ).limits
        ),
        None,
    ),
]
LIMITS: list[tuple[str, str, ConnectionLimits | None]] = [
    (
        "all limits of connections",
        "tcp: {maxConnections: 1, connectTimeout: 1.5s, idleTimeout: 1m}",
        ConnectionLimits(1, 1500, 60_000, 60_000),
    ),
    (
        "all limits of requests",
        "http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, "
        "maxRetries: 5, idleTimeout: 250ms}",
        ConnectionLimits(
            idle_timeout_ms=250,
            max_pending_requests=2,
            max_requests=3,
            max_requests_per_connection=4,
            max_retries=5,
        ),
    ),
    (
        "the idle time of HTTP counts before that of TCP",
        "tcp: {idleTimeout: 1m}, http: {idleTimeout: 1s}",
        ConnectionLimits(tcp_idle_timeout_ms=60_000, idle_timeout_ms=1000),
    ),
    ("a number of 0 is no limit", "tcp: {maxConnections: 0}, http: {maxRetries: 0}", None),
]
OUTLIERS: list[tuple[str, str, Outlier]] = [
    ("unset, five answers of 5xx in a row eject", "", Outlier(consecutive_5xx=5)),
    ("consecutive 5xx of 0 is off", "consecutive5xxErrors: 0", Outlier(consecutive_5xx=0)),
    (
        "gateway errors count beside 5xx",
        "consecutiveGatewayErrors: 3",
        Outlier(consecutive_5xx=5, consecutive_gateway=3),
    ),
    (
        "the old consecutiveErrors counts gateway errors alone",
        "consecutiveErrors: 7",
        Outlier(consecutive_5xx=0, consecutive_gateway=7),
    ),
    (
        "new names count before the old one",
        "consecutiveErrors: 7, consecutiveGatewayErrors: 2, consecutive5xxErrors: 9",
        Outlier(consecutive_5xx=9, consecutive_gateway=2),
    ),
    (
        "local failures have an own count when they are split",
        "splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2",
        Outlier(consecutive_local=2, split=True),
    ),
    (
        "split local failures eject after five unless set",
        "splitExternalLocalOriginErrors: true",
        Outlier(consecutive_local=5, split=True),
    ),
    (
        "local failures have none when they are not split",
        "consecutiveLocalOriginFailures: 2",
        Outlier(consecutive_local=0),
    ),
    (
        "interval, time and shares",
        "interval: 1s, baseEjectionTime: 1m, maxEjectionPercent: 100, minHealthPercent: 40",
        Outlier(
            interval_ms=1000,
            base_ejection_ms=60_000,
            max_ejection_percent=100,
            min_health_percent=40,
        ),
    ),
]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [case[1:] for case in HOSTS_AND_SUBSETS + PORTS + RULES],
    ids=[case[0] for case in HOSTS_AND_SUBSETS + PORTS + RULES],
)
def test_whose_setting_counts(seen: Callable[[], object], expected: object) -> None:
    assert seen() == expected


@pytest.mark.parametrize(
    ("pool", "limits"), [case[1:] for case in LIMITS], ids=[case[0] for case in LIMITS]
)
def test_connection_pools(pool: str, limits: ConnectionLimits | None) -> None:
    assert cluster(rule(f"connectionPool: {{{pool}}}")).limits == limits


@pytest.mark.parametrize(
    ("written", "outlier"), [case[1:] for case in OUTLIERS], ids=[case[0] for case in OUTLIERS]
)
def test_ejection(written: str, outlier: Outlier) -> None:
    assert cluster(rule(f"outlierDetection: {{{written}}}")).outlier == outlier


def test_without_a_rule_everything_is_the_meshs_own() -> None:
    plain = cluster()
    assert (plain.limits, plain.outlier, plain.tls, plain.tls_written) == (
        None,
        None,
        "ISTIO_MUTUAL",
        False,
    )


@pytest.mark.parametrize("mode", ["ISTIO_MUTUAL", "DISABLE", "SIMPLE"])
def test_a_mode_that_is_written_is_known_as_written(mode: str) -> None:
    seen = cluster(rule(f"tls: {{mode: {mode}}}"))
    assert (seen.tls, seen.tls_written) == (mode, True)
    assert (seen.upstream_tls is not None) == (mode == "SIMPLE")
