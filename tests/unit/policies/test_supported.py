"""What is modelled and not executed is refused by name, at its line."""

import json
from typing import Any

import pytest

from tests.support.policy_mesh import parsed
from tulle.policies.resources.kinds import KINDS
from tulle.policies.supported import TABLES, Each, Executed, Table, unsupported

FULL_GATEWAY_SERVER = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}


def found(kind: str, **fields: Any) -> list[tuple[str, str]]:
    """(path, message) of what is refused in a document of these fields."""
    text = {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "x"},
        "spec": fields,
    }
    [document] = parsed(json.dumps(text, indent=1)).documents
    problems = list(unsupported(document))
    assert all(p.code == "not-supported-yet" and p.severity == "error" for p in problems)
    assert all(p.line for p in problems)
    return [(p.path, p.message) for p in problems]


TRAFFIC: dict[str, Any] = {
    "loadBalancer": {"simple": "LEAST_CONN"},
    "connectionPool": {
        "tcp": {"maxConnections": 1, "connectTimeout": "1s", "idleTimeout": "1s"},
        "http": {
            "http1MaxPendingRequests": 1,
            "http2MaxRequests": 1,
            "maxRequestsPerConnection": 1,
            "maxRetries": 1,
            "idleTimeout": "1s",
        },
    },
    "outlierDetection": {
        "consecutiveErrors": 1,
        "consecutiveGatewayErrors": 1,
        "consecutive5xxErrors": 1,
        "consecutiveLocalOriginFailures": 1,
        "splitExternalLocalOriginErrors": True,
        "interval": "1s",
        "baseEjectionTime": "1s",
        "maxEjectionPercent": 1,
        "minHealthPercent": 1,
    },
    "tls": {
        "mode": "MUTUAL",
        "clientCertificate": "/c",
        "privateKey": "/k",
        "caCertificates": "/r",
        "credentialName": "x",
        "subjectAltNames": ["a"],
        "sni": "a",
        "insecureSkipVerify": True,
    },
}
EXECUTED: list[tuple[str, dict[str, Any]]] = [
    (
        "VirtualService",
        {
            "hosts": ["a"],
            "gateways": ["mesh"],
            "exportTo": ["*"],
            "http": [
                {
                    "name": "one",
                    "timeout": "1s",
                    "match": [
                        {
                            "name": "m",
                            "uri": {"prefix": "/"},
                            "ignoreUriCase": True,
                            "method": {"exact": "GET"},
                            "authority": {"regex": "a.*"},
                            "headers": {"a": {"exact": "b"}, "c": {}},
                            "gateways": ["mesh"],
                            "port": 80,
                        }
                    ],
                    "route": [
                        {
                            "destination": {"host": "a", "subset": "v1", "port": {"number": 80}},
                            "weight": 1,
                        }
                    ],
                }
            ],
        },
    ),
    (
        "DestinationRule",
        {
            "host": "a",
            "trafficPolicy": {
                **TRAFFIC,
                "portLevelSettings": [{"port": {"number": 80}, **TRAFFIC}],
            },
            "subsets": [
                {
                    "name": "v1",
                    "labels": {"version": "v1"},
                    "trafficPolicy": TRAFFIC,
                }
            ],
            "exportTo": ["*"],
        },
    ),
    ("Gateway", {"selector": {"a": "b"}, "servers": [{**FULL_GATEWAY_SERVER, "name": "web"}]}),
    (
        "Gateway",
        {
            "servers": [
                {
                    "port": {"number": 443, "name": "https", "protocol": "https"},
                    "hosts": ["*"],
                    "tls": {
                        "httpsRedirect": False,
                        "mode": "MUTUAL",
                        "serverCertificate": "/c",
                        "privateKey": "/k",
                        "caCertificates": "/r",
                        "credentialName": "x",
                        "minProtocolVersion": "TLS_AUTO",
                        "maxProtocolVersion": "TLSV1_3",
                    },
                }
            ]
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example"],
            "resolution": "DNS",
            "ports": [{"number": 443, "name": "s", "protocol": "HTTPS", "targetPort": 8443}],
        },
    ),
    (
        "ServiceEntry",
        {
            "hosts": ["a.example"],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http", "protocol": "http"}],
            "endpoints": [{"address": "10.0.0.1", "ports": {"http": 8080}, "labels": {"a": "b"}}],
        },
    ),
]


@pytest.mark.parametrize(
    ("kind", "fields"), EXECUTED, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(EXECUTED)]
)
def test_what_is_executed_is_accepted(kind: str, fields: dict[str, Any]) -> None:
    assert found(kind, **fields) == []


@pytest.mark.parametrize(
    ("kind", "fields", "path", "message"),
    [
        ("VirtualService", {"tcp": [{}]}, "spec.tcp", "supported here: hosts, gateways"),
        ("VirtualService", {"tls": []}, "spec.tls", "tls is not supported yet"),
        ("VirtualService", {"exportTo": ["."]}, "spec.exportTo", 'supported: ["*"]'),
        (
            "VirtualService",
            {"http": [{"route": []}, {"fault": {"abort": {"httpStatus": 500}}}]},
            "spec.http[1].fault",
            "supported here: name, timeout, match, route",
        ),
        ("VirtualService", {"http": [{"retries": {}}]}, "spec.http[0].retries", "retries is not"),
        (
            "VirtualService",
            {"http": [{"match": [{"withoutHeaders": {"a": {}}}]}]},
            "spec.http[0].match[0].withoutHeaders",
            "withoutHeaders is not supported yet",
        ),
        (
            "VirtualService",
            {"http": [{"route": [{"destination": {"host": "a"}, "headers": {}}]}]},
            "spec.http[0].route[0].headers",
            "supported here: destination, weight",
        ),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"tunnel": {"targetHost": "a", "targetPort": 1}}},
            "spec.trafficPolicy.tunnel",
            "connectionPool, outlierDetection, tls, portLevelSettings",
        ),
        (
            "DestinationRule",
            {
                "host": "a",
                "trafficPolicy": {"connectionPool": {"tcp": {"maxConnectionDuration": "1s"}}},
            },
            "spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration",
            "supported here: maxConnections, connectTimeout, idleTimeout",
        ),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"connectionPool": {"tcp": {"idleTimeout": "0s"}}}},
            "spec.trafficPolicy.connectionPool.tcp.idleTimeout",
            "0s is not supported yet; supported: a duration of at least 1ms",
        ),
        (
            "DestinationRule",
            {
                "host": "a",
                "trafficPolicy": {"connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}},
            },
            "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy",
            "supported here: http1MaxPendingRequests",
        ),
        (
            "DestinationRule",
            {
                "host": "a",
                "trafficPolicy": {"outlierDetection": {"outlierDetectionHttpErrorCodes": [500]}},
            },
            "spec.trafficPolicy.outlierDetection.outlierDetectionHttpErrorCodes",
            "not supported yet",
        ),
        (
            "DestinationRule",
            {
                "host": "a",
                "subsets": [
                    {
                        "name": "v1",
                        "trafficPolicy": {
                            "portLevelSettings": [
                                {"port": {"number": 1}, "tls": {"mode": "SIMPLE", "caCrl": "/x"}}
                            ]
                        },
                    }
                ],
            },
            "spec.subsets[0].trafficPolicy.portLevelSettings[0].tls.caCrl",
            "supported here: mode, clientCertificate",
        ),
        (
            "DestinationRule",
            {"host": "a", "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}},
            "spec.trafficPolicy.loadBalancer.simple",
            "supported: ROUND_ROBIN, LEAST_REQUEST, RANDOM",
        ),
        (
            "Gateway",
            {"servers": [{**FULL_GATEWAY_SERVER, "tls": {"mode": "PASSTHROUGH"}}]},
            "spec.servers[0].tls.mode",
            "PASSTHROUGH is not supported yet; supported: SIMPLE, MUTUAL",
        ),
        (
            "Gateway",
            {"servers": [{**FULL_GATEWAY_SERVER, "tls": {"minProtocolVersion": "TLSV1_0"}}]},
            "spec.servers[0].tls.minProtocolVersion",
            "supported: TLS_AUTO, TLSV1_2, TLSV1_3",
        ),
        (
            "Gateway",
            {"servers": [{**FULL_GATEWAY_SERVER, "tls": {"cipherSuites": ["x"]}}]},
            "spec.servers[0].tls.cipherSuites",
            "supported here: httpsRedirect, mode",
        ),
        (
            "Gateway",
            {"servers": [{**FULL_GATEWAY_SERVER, "bind": "10.0.0.1"}]},
            "spec.servers[0].bind",
            "bind is not supported yet",
        ),
        (
            "Gateway",
            {"servers": [{"port": {"number": 1, "name": "x", "protocol": "TCP"}, "hosts": ["*"]}]},
            "spec.servers[0].port.protocol",
            "TCP is not supported yet; supported: HTTP, HTTPS",
        ),
        (
            "ServiceEntry",
            {"hosts": ["a"], "resolution": "DNS_ROUND_ROBIN"},
            "spec.resolution",
            "supported: STATIC, DNS",
        ),
        (
            "ServiceEntry",
            {"hosts": ["a"]},
            "spec",
            "resolution is NONE when absent, which is not supported yet; supported: STATIC",
        ),
        (
            "ServiceEntry",
            {"hosts": ["a"], "resolution": "STATIC", "ports": [{"number": 80, "name": "x"}]},
            "spec.ports[0]",
            "protocol is unset when absent",
        ),
        (
            "ServiceEntry",
            {"hosts": ["a"], "resolution": "STATIC", "location": "MESH_INTERNAL"},
            "spec.location",
            "supported: MESH_EXTERNAL",
        ),
    ],
)
def test_what_is_not_executed_is_refused_with_what_is(
    kind: str, fields: dict[str, Any], path: str, message: str
) -> None:
    [(where, said)] = found(kind, **fields)
    assert where == path
    assert message in said


def test_everything_unsupported_is_reported_at_once() -> None:
    paths = [
        path for path, _ in found("VirtualService", tcp=[], http=[{"fault": {}, "retries": {}}])
    ]
    assert paths == ["spec.tcp", "spec.http[0].fault", "spec.http[0].retries"]


def test_the_tables_name_only_fields_of_the_models() -> None:
    """A field that is spelt wrong in a table would silently refuse the right one."""
    from tulle.policies.resources.fields import allowed_at

    def check(table: Table, kind: str, path: tuple[str | int, ...]) -> None:
        if isinstance(table, Each):
            check(table.item, kind, (*path, 0))
        elif not isinstance(table, Executed):
            allowed = allowed_at(KINDS[kind], path)  # type: ignore[index]
            assert set(table) <= set(allowed), path
            for name, part in table.items():
                check(part, kind, (*path, name))

    for kind, table in TABLES.items():
        check(table, kind, ())
