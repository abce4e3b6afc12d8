"""DestinationRules that fit the schema and can't be meant."""

import pytest

from tests.support.one_document import problems_of, sole


@pytest.mark.parametrize(
    "spec",
    [
        "host: '*.default.svc.cluster.local'\nsubsets: [{name: v1}]",
        "host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 1}}, {port: {number: 2}}]}",
        "host: a\ntrafficPolicy: {connectionPool: {tcp: {maxConnections: 0}}}",
    ],
)
def test_what_makes_sense(spec: str) -> None:
    assert problems_of("DestinationRule", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "path", "message"),
    [
        ("host: a b", "schema", "spec.host", "DNS name"),
        (
            "host: a\nsubsets: [{name: v1}, {name: v2}, {name: v1}]",
            "duplicate",
            "spec.subsets[2].name",
            "the subset v1 is already given by item 0",
        ),
        (
            "host: a\nsubsets: [{name: a|b}]",
            "schema",
            "spec.subsets[0].name",
            "-",
        ),
        (
            "host: a\ntrafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}",
            "schema",
            "spec.trafficPolicy.connectionPool.tcp.maxConnections",
            "must not be negative, not -1",
        ),
        (
            "host: a\ntrafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: -2}}}",
            "schema",
            "spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests",
            "must not be negative, not -2",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {consecutiveErrors: -1}}",
            "schema",
            "spec.trafficPolicy.outlierDetection.consecutiveErrors",
            "must not be negative",
        ),
        (
            "host: a\ntrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}",
            "schema",
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "must be from 0 to 100, not 101",
        ),
        (
            "host: a\nsubsets:\n- name: v1\n  trafficPolicy:\n"
            "    outlierDetection: {minHealthPercent: -1}",
            "schema",
            "spec.subsets[0].trafficPolicy.outlierDetection.minHealthPercent",
            "must be from 0 to 100, not -1",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{tls: {mode: DISABLE}}]}",
            "schema",
            "spec.trafficPolicy.portLevelSettings[0].port",
            "must have port.number from 1 to 65535",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 70000}}]}",
            "schema",
            "spec.trafficPolicy.portLevelSettings[0].port",
            "must have port.number from 1 to 65535",
        ),
        (
            "host: a\ntrafficPolicy:\n"
            "  portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]",
            "duplicate",
            "spec.trafficPolicy.portLevelSettings[1].port",
            "the port 1 is already given by item 0",
        ),
        (
            "host: a\ntrafficPolicy: {portLevelSettings: [{port: {number: 1}, tls: {sni: x}}]}",
            "contradiction",
            "spec.trafficPolicy.portLevelSettings[0].tls",
            "tls needs a mode",
        ),
    ],
)
def test_what_does_not(spec: str, code: str, path: str, message: str) -> None:
    assert sole("DestinationRule", spec, message) == ("error", code, path)


def test_a_count_of_local_failures_that_are_not_split_is_a_warning() -> None:
    spec = "host: a\ntrafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 3}}"
    assert sole("DestinationRule", spec, "no effect without splitExternalLocalOriginErrors") == (
        "warning",
        "contradiction",
        "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
    )
