"""What is modelled and not executed is refused by name, at its line."""

import json
from typing import Any

import pytest

from tests.support.policy_mesh import parsed
from tulle.policies.resources.kinds import GROUPS, KINDS
from tulle.policies.supported import TABLES, Each, Executed, Table, unsupported

FULL_GATEWAY_SERVER = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}


def found(kind: str, **fields: Any) -> list[tuple[str, str]]:
    """(path, message) of what is refused in a document of these fields."""
    text = {
        "apiVersion": f"{GROUPS[kind]}/v1",  # type: ignore[index]
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
                            "scheme": {"exact": "http"},
                            "headers": {"a": {"exact": "b"}, "c": {}},
                            "withoutHeaders": {"d": {"prefix": "e"}},
                            "queryParams": {"q": {"regex": "1+"}},
                            "sourceLabels": {"app": "web"},
                            "sourceNamespace": "shop",
                            "gateways": ["mesh"],
                            "port": 80,
                        }
                    ],
                    "route": [
                        {
                            "destination": {"host": "a", "subset": "v1", "port": {"number": 80}},
                            "weight": 1,
                            "headers": {"request": {"set": {"a": "b"}}},
                        }
                    ],
                    "retries": {"attempts": 1, "perTryTimeout": "1s", "retryOn": "5xx"},
                    "fault": {
                        "delay": {"fixedDelay": "1s", "percent": 1, "percentage": {"value": 1.0}},
                        "abort": {"httpStatus": 500, "percentage": {"value": 1.0}},
                    },
                    "rewrite": {
                        "uri": "/",
                        "authority": "b",
                        "uriRegexRewrite": {"match": "a", "rewrite": "b"},
                    },
                    "headers": {
                        "request": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]},
                        "response": {"set": {"a": "b"}, "add": {"c": "d"}, "remove": ["e"]},
                    },
                },
                {
                    "redirect": {
                        "uri": "/",
                        "prefixRewrite": "/",
                        "authority": "b",
                        "scheme": "https",
                        "derivePort": "FROM_REQUEST_PORT",
                        "redirectCode": 302,
                    }
                },
                {"redirect": {"port": 80}},
                {"directResponse": {"status": 200, "body": {"string": "a"}}},
                {"directResponse": {"status": 200, "body": {"bytes": "YQ=="}}},
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
    (
        "PeerAuthentication",
        {
            "selector": {"matchLabels": {"app": "a"}},
            "mtls": {"mode": "STRICT"},
            "portLevelMtls": {"80": {"mode": "DISABLE"}, "81": {"mode": "UNSET"}},
        },
    ),
    (
        "AuthorizationPolicy",
        {
            "selector": {"matchLabels": {"app": "a"}},
            "action": "DENY",
            "rules": [
                {
                    "from": [
                        {"source": {name: ["a"], f"not{name[0].upper()}{name[1:]}": ["a"]}}
                        for name in ("principals", "namespaces", "serviceAccounts", "ipBlocks")
                    ],
                    "to": [
                        {"operation": {name: ["/a"], f"not{name[0].upper()}{name[1:]}": ["/a"]}}
                        for name in ("hosts", "ports", "methods", "paths")
                    ],
                    "when": [
                        {"key": key, "values": ["a"], "notValues": ["a"]}
                        for key in (
                            "source.ip",
                            "source.namespace",
                            "source.principal",
                            "source.serviceAccount",
                            "destination.port",
                            "connection.sni",
                            "request.headers[X-A]",
                        )
                    ],
                }
            ],
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
            {"http": [{"route": []}, {"fault": {"abort": {"grpcStatus": "UNAVAILABLE"}}}]},
            "spec.http[1].fault.abort.grpcStatus",
            "supported here: httpStatus, percentage",
        ),
        (
            "VirtualService",
            {"http": [{"fault": {"delay": {"exponentialDelay": "1s"}}}]},
            "spec.http[0].fault.delay.exponentialDelay",
            "supported here: fixedDelay, percentage, percent",
        ),
        (
            "VirtualService",
            {"http": [{"mirror": {"host": "a"}}]},
            "spec.http[0].mirror",
            "supported here: name, match, route, timeout, retries, fault, rewrite, redirect",
        ),
        (
            "VirtualService",
            {"http": [{"corsPolicy": {}}]},
            "spec.http[0].corsPolicy",
            "corsPolicy is not supported yet",
        ),
        (
            "VirtualService",
            {"http": [{"delegate": {"name": "a"}}]},
            "spec.http[0].delegate",
            "delegate is not supported yet",
        ),
        (
            "VirtualService",
            {"http": [{"match": [{"statPrefix": "a"}]}]},
            "spec.http[0].match[0].statPrefix",
            "statPrefix is not supported yet",
        ),
        *(
            (
                "VirtualService",
                {"http": [{"retries": {name: value}}]},
                f"spec.http[0].retries.{name}",
                "supported here: attempts, perTryTimeout, retryOn",
            )
            for name, value in {
                "backoff": "1s",
                "retryRemoteLocalities": True,
                "retryIgnorePreviousHosts": False,
            }.items()
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
        (
            "AuthorizationPolicy",
            {"action": "AUDIT"},
            "spec.action",
            "AUDIT is not supported yet; supported: ALLOW, DENY",
        ),
        ("AuthorizationPolicy", {"action": "CUSTOM"}, "spec.action", "supported: ALLOW, DENY"),
        (
            "AuthorizationPolicy",
            {"targetRefs": [{"kind": "Gateway", "name": "g"}]},
            "spec.targetRefs",
            "supported here: selector, action, rules",
        ),
        ("AuthorizationPolicy", {"provider": {"name": "x"}}, "spec.provider", "is not supported"),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]},
            "spec.rules[0].from[0].source.requestPrincipals",
            "supported here: principals, notPrincipals, namespaces",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"from": [{"source": {"notRemoteIpBlocks": ["::1"]}}]}]},
            "spec.rules[0].from[0].source.notRemoteIpBlocks",
            "is not supported yet",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"to": [{"operation": {"paths": ["/a", "/b/{*}"]}}]}]},
            "spec.rules[0].to[0].operation.paths[1]",
            "supported: exact, prefix*, *suffix, *",
        ),
        (
            "AuthorizationPolicy",
            {"rules": [{"to": [{"operation": {"notPaths": ["/{**}"]}}]}]},
            "spec.rules[0].to[0].operation.notPaths[0]",
            "/{**} is not supported yet",
        ),
        *(
            (
                "AuthorizationPolicy",
                {"rules": [{"when": [{"key": key, "values": ["a"]}]}]},
                "spec.rules[0].when[0].key",
                "supported: source.ip, source.namespace, source.principal",
            )
            for key in (
                "remote.ip",
                "destination.ip",
                "request.auth.principal",
                "request.auth.claims[iss]",
                "experimental.envoy.filters.a[b]",
                "request.headers[:path]",
                "request.headers[X-Forwarded-Client-Cert]",
                "request.headers[upgrade]",
                "request.headers[x-tulle-peer]",
                "request.headers[Host]",
            )
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
        path
        for path, _ in found("VirtualService", tcp=[], http=[{"mirrors": [], "corsPolicy": {}}])
    ]
    assert paths == ["spec.tcp", "spec.http[0].mirrors", "spec.http[0].corsPolicy"]


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
