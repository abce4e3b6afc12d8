"""What of Istio's fields this version executes; everything else is an error, never ignored.

One table per kind in the shape of the document. A field that is not in the table is refused as
`not-supported-yet`; a later version that executes it adds it here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, listed
from tulle.policies.resources.base import MILLISECOND, nanoseconds
from tulle.policies.resources.kinds import Kind
from tulle.policies.yamlscalar import Json


@dataclass(frozen=True, slots=True)
class Executed:
    """A leaf of the table: `accepts` says which values are executed, `allowed` says so in words.

    `default` is what the field means when absent, where that is not executed; else empty.
    """

    allowed: str
    accepts: Callable[[Json], bool]
    default: str = ""


@dataclass(frozen=True, slots=True)
class Each:
    """All items of a list, or all values of a mapping with free keys."""

    item: "Table"


Table: TypeAlias = Mapping[str, "Table"] | Each | Executed


def _one_of(*values: str, default: str = "") -> Executed:
    return Executed(listed(values), lambda value: value in values, default)


def _protocol(*names: str) -> Executed:
    """Protocols count without case; none is not executed."""
    return Executed(
        listed(names),
        lambda value: isinstance(value, str) and value.upper() in names,
        default="unset",
    )


_ATTRIBUTES: Final = (
    "source.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "destination.port",
    "connection.sni",
)
"""Keys of `when`; headers come besides."""


UNSEEN_HEADERS: Final = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-client-cert",
    )
)
"""Of one hop, with `x-tulle-*`: a proxy reads them for itself, and no rule ever sees them."""


def _attribute(value: Json) -> bool:
    key = str(value)
    if key.startswith("request.headers["):
        # The host and the pseudo headers have fields of their own in `to`.
        name = key.removeprefix("request.headers[").removesuffix("]").lower()
        return name not in UNSEEN_HEADERS and not name.startswith((":", "x-tulle-"))
    # What is no attribute at all is refused by `contradicting/`.
    return not key.startswith(("request.auth.", "remote.ip", "destination.ip", "experimental."))


def _no_template(value: Json) -> bool:
    return "{*}" not in str(value) and "{**}" not in str(value)


ANY: Final = Executed("anything", lambda _: True)
_PUBLIC = Executed('["*"]', lambda value: value in ([], ["*"]))
_SOME_TIME = Executed(
    "a duration of at least 1ms",
    lambda value: isinstance(value, str) and nanoseconds(value) >= MILLISECOND,
)
_STRING_MATCH = {"exact": ANY, "prefix": ANY, "regex": ANY}
_HEADER_OPERATIONS = {"set": ANY, "add": ANY, "remove": ANY}
_HEADERS = {"request": _HEADER_OPERATIONS, "response": _HEADER_OPERATIONS}
_PERCENTAGE = {"value": ANY}

_HTTP_MATCH: Table = {
    "name": ANY,
    "uri": _STRING_MATCH,
    "ignoreUriCase": ANY,
    "scheme": _STRING_MATCH,
    "method": _STRING_MATCH,
    "authority": _STRING_MATCH,
    "headers": Each(_STRING_MATCH),
    "withoutHeaders": Each(_STRING_MATCH),
    "queryParams": Each(_STRING_MATCH),
    "gateways": ANY,
    "port": ANY,
    "sourceLabels": ANY,
    "sourceNamespace": ANY,
}

_HTTP_ROUTE: Table = {
    "name": ANY,
    "match": Each(_HTTP_MATCH),
    "route": Each(
        {
            "destination": {"host": ANY, "subset": ANY, "port": {"number": ANY}},
            "weight": ANY,
            "headers": _HEADERS,
        }
    ),
    "timeout": ANY,
    # The words of retryOn are checked in contradicting/retries.py.
    "retries": {"attempts": ANY, "perTryTimeout": ANY, "retryOn": ANY},
    "fault": {
        "delay": {"fixedDelay": ANY, "percentage": _PERCENTAGE, "percent": ANY},
        "abort": {"httpStatus": ANY, "percentage": _PERCENTAGE},
    },
    "rewrite": {
        "uri": ANY,
        "authority": ANY,
        "uriRegexRewrite": {"match": ANY, "rewrite": ANY},
    },
    "redirect": {
        "uri": ANY,
        "prefixRewrite": ANY,
        "authority": ANY,
        "scheme": ANY,
        "port": ANY,
        "derivePort": ANY,
        "redirectCode": ANY,
    },
    "directResponse": {"status": ANY, "body": {"string": ANY, "bytes": ANY}},
    "headers": _HEADERS,
}

_VIRTUAL_SERVICE: Table = {
    "hosts": ANY,
    "gateways": ANY,
    "exportTo": _PUBLIC,
    "http": Each(_HTTP_ROUTE),
}

_TRAFFIC: Mapping[str, Table] = {
    "loadBalancer": {
        "simple": _one_of("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "UNSPECIFIED", "LEAST_CONN")
    },
    "connectionPool": {
        # 0s would mean without a limit, and every wait has one.
        "tcp": {"maxConnections": ANY, "connectTimeout": ANY, "idleTimeout": _SOME_TIME},
        "http": {
            "http1MaxPendingRequests": ANY,
            "http2MaxRequests": ANY,
            "maxRequestsPerConnection": ANY,
            "maxRetries": ANY,
            "idleTimeout": ANY,
        },
    },
    "outlierDetection": {
        "consecutiveErrors": ANY,
        "consecutiveGatewayErrors": ANY,
        "consecutive5xxErrors": ANY,
        "consecutiveLocalOriginFailures": ANY,
        "splitExternalLocalOriginErrors": ANY,
        "interval": ANY,
        "baseEjectionTime": ANY,
        "maxEjectionPercent": ANY,
        "minHealthPercent": ANY,
    },
    "tls": {
        "mode": ANY,
        "clientCertificate": ANY,
        "privateKey": ANY,
        "caCertificates": ANY,
        "credentialName": ANY,
        "subjectAltNames": ANY,
        "sni": ANY,
        "insecureSkipVerify": ANY,
    },
}
_TRAFFIC_POLICY: Table = {
    **_TRAFFIC,
    "portLevelSettings": Each({"port": {"number": ANY}, **_TRAFFIC}),
}

_DESTINATION_RULE: Table = {
    "host": ANY,
    "exportTo": _PUBLIC,
    "trafficPolicy": _TRAFFIC_POLICY,
    "subsets": Each({"name": ANY, "labels": ANY, "trafficPolicy": _TRAFFIC_POLICY}),
}

_TLS_VERSION = _one_of("TLS_AUTO", "TLSV1_2", "TLSV1_3")

_GATEWAY: Table = {
    "selector": ANY,
    "servers": Each(
        {
            "name": ANY,
            "hosts": ANY,
            "port": {"number": ANY, "name": ANY, "protocol": _protocol("HTTP", "HTTPS")},
            "tls": {
                "httpsRedirect": ANY,
                "mode": _one_of("SIMPLE", "MUTUAL"),
                "serverCertificate": ANY,
                "privateKey": ANY,
                "caCertificates": ANY,
                "credentialName": ANY,
                "minProtocolVersion": _TLS_VERSION,
                "maxProtocolVersion": _TLS_VERSION,
            },
        }
    ),
}

_SERVICE_ENTRY: Table = {
    "hosts": ANY,
    "exportTo": _PUBLIC,
    "location": _one_of("MESH_EXTERNAL"),
    "resolution": _one_of("STATIC", "DNS", default="NONE"),
    "ports": Each(
        {
            "number": ANY,
            "name": ANY,
            "protocol": _protocol("HTTP", "HTTPS", "TLS"),
            "targetPort": ANY,
        }
    ),
    "endpoints": Each({"address": ANY, "ports": ANY, "labels": ANY}),
}

_MTLS: Table = {"mode": ANY}

_PEER_AUTHENTICATION: Table = {
    "selector": ANY,
    "mtls": _MTLS,
    "portLevelMtls": Each(_MTLS),
}

_PATHS: Table = Each(Executed("exact, prefix*, *suffix, *", _no_template))

_AUTHORIZATION_POLICY: Table = {
    "selector": ANY,
    "action": _one_of("ALLOW", "DENY"),
    "rules": Each(
        {
            "from": Each(
                {
                    "source": {
                        "principals": ANY,
                        "notPrincipals": ANY,
                        "namespaces": ANY,
                        "notNamespaces": ANY,
                        "serviceAccounts": ANY,
                        "notServiceAccounts": ANY,
                        "ipBlocks": ANY,
                        "notIpBlocks": ANY,
                    }
                }
            ),
            "to": Each(
                {
                    "operation": {
                        "hosts": ANY,
                        "notHosts": ANY,
                        "ports": ANY,
                        "notPorts": ANY,
                        "methods": ANY,
                        "notMethods": ANY,
                        "paths": _PATHS,
                        "notPaths": _PATHS,
                    }
                }
            ),
            "when": Each(
                {
                    "key": Executed(listed((*_ATTRIBUTES, "request.headers[NAME]")), _attribute),
                    "values": ANY,
                    "notValues": ANY,
                }
            ),
        }
    ),
}

TABLES: Mapping[Kind, Table] = {
    "AuthorizationPolicy": _AUTHORIZATION_POLICY,
    "DestinationRule": _DESTINATION_RULE,
    "Gateway": _GATEWAY,
    "PeerAuthentication": _PEER_AUTHENTICATION,
    "ServiceEntry": _SERVICE_ENTRY,
    "VirtualService": _VIRTUAL_SERVICE,
}


def unsupported(document: Document) -> Iterator[Problem]:
    """Every field and value of the document that is valid in Istio and not executed yet."""
    found = _walk(TABLES[document.kind], document.data["spec"], ("spec",))
    for path, message in found:
        yield document.problem("not-supported-yet", path, message)


def _walk(table: Table, value: Json, path: Path) -> Iterator[tuple[Path, str]]:
    match table:
        case Executed():
            if not table.accepts(value):
                yield path, f"{_shown(value)} is not supported yet; supported: {table.allowed}"
        case Each():
            pairs = value.items() if isinstance(value, dict) else enumerate(_items(value))
            for key, item in pairs:
                yield from _walk(table.item, item, (*path, key))
        case _:
            yield from _walk_object(table, value if isinstance(value, dict) else {}, path)


def _walk_object(
    table: Mapping[str, Table], value: Mapping[str, Json], path: Path
) -> Iterator[tuple[Path, str]]:
    for key, item in value.items():
        if key in table:
            yield from _walk(table[key], item, (*path, key))
        else:
            message = f"{key} is not supported yet; supported here: {listed(table)}"
            yield (*path, key), message
    for key, rule in table.items():
        if isinstance(rule, Executed) and rule.default and key not in value:
            default = f"{key} is {rule.default} when absent, which is not supported yet"
            yield path, f"{default}; supported: {rule.allowed}"


def _items(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else f"this value ({value})"
