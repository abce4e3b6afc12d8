"""Random policies over a few hosts and gateways, so that they meet: hypothesis strategies.

Every document is one that an apply accepts.
"""

from typing import Any

import orjson
from hypothesis import strategies as st

from tests.support.policy_mesh import service
from tulle.policies.parse import Document, parse
from tulle.policies.resources.kinds import GROUPS, SECURITY, Kind
from tulle.policies.world import Policy, Service, World

HOSTS = ["a", "b", "a.shop", "c.example", "*.example", "a.default.svc.cluster.local"]
DESTINATIONS = ["a", "b", "a.shop", "c.example", "d.example", "nowhere"]
NAMESPACES = ["default", "shop"]
GATEWAYS = ["mesh", "web", "shop/web", "admin"]
PATHS = ["/", "/a", "/a/b", "/b"]

string_matches = st.one_of(
    st.fixed_dictionaries({"exact": st.sampled_from(PATHS)}),
    st.fixed_dictionaries({"prefix": st.sampled_from(PATHS)}),
    st.fixed_dictionaries({"regex": st.sampled_from(["/a.*", ".*b", "/[ab]"])}),
)
matches = st.fixed_dictionaries(
    {},
    optional={
        "uri": string_matches,
        "method": st.just({"exact": "GET"}),
        "headers": st.dictionaries(st.sampled_from(["X", "y"]), string_matches | st.just({})),
        "withoutHeaders": st.dictionaries(st.just("Z"), string_matches | st.just({})),
        "queryParams": st.dictionaries(st.sampled_from(["q", "Q"]), string_matches | st.just({})),
        "scheme": st.just({"exact": "https"}),
        "sourceNamespace": st.sampled_from(NAMESPACES),
        "sourceLabels": st.dictionaries(st.just("app"), st.sampled_from(["web", "db"])),
        "ignoreUriCase": st.booleans(),
        "port": st.sampled_from([80, 81, 9080]),
        "gateways": st.lists(st.sampled_from(GATEWAYS), min_size=1, max_size=2),
    },
)
destinations = st.fixed_dictionaries(
    {"host": st.sampled_from(DESTINATIONS)},
    optional={
        "subset": st.sampled_from(["v1", "v2"]),
        "port": st.fixed_dictionaries({"number": st.sampled_from([80, 9080])}),
    },
)
edited = st.dictionaries(st.sampled_from(["X-A", "x-b"]), st.sampled_from(["1", "50%%"]))
operations = st.fixed_dictionaries(
    {}, optional={"set": edited, "add": edited, "remove": st.just(["X-C"])}
)
headers = st.fixed_dictionaries({}, optional={"request": operations, "response": operations})
percentages = st.fixed_dictionaries({"value": st.sampled_from([0, 12.5, 100])})
faults = st.fixed_dictionaries(
    {
        "delay": st.fixed_dictionaries(
            {"fixedDelay": st.just("1s")},
            optional={"percentage": percentages, "percent": st.integers(0, 100)},
        )
    },
    optional={
        "abort": st.fixed_dictionaries(
            {"httpStatus": st.sampled_from([200, 599])}, optional={"percentage": percentages}
        )
    },
)
retries = st.fixed_dictionaries(
    {"attempts": st.integers(1, 3)},
    optional={
        "perTryTimeout": st.just("200ms"),
        "retryOn": st.sampled_from(["5xx", "reset,503", "gateway-error , 429,unavailable"]),
    },
)
rewrites = st.sampled_from(
    [
        {"uri": "/new/"},
        {"authority": "new.example"},
        {"uriRegexRewrite": {"match": "/(a|b)", "rewrite": "/x\\1"}, "authority": "new"},
    ]
)
shares = st.fixed_dictionaries(
    {"destination": destinations, "weight": st.integers(1, 9)}, optional={"headers": headers}
)
forwarding = st.fixed_dictionaries(
    {"route": st.lists(shares, min_size=1, max_size=3)},
    optional={
        "match": st.lists(matches, min_size=1, max_size=3),
        "timeout": st.sampled_from(["1s", "250ms"]),
        "retries": retries,
        "fault": faults,
        "rewrite": rewrites,
        "headers": headers,
    },
)
answers = st.sampled_from(
    [
        {"redirect": {"uri": "/new", "redirectCode": 308}},
        {"redirect": {"prefixRewrite": "/new/", "derivePort": "FROM_REQUEST_PORT"}},
        {"directResponse": {"status": 418, "body": {"string": "tea"}}},
    ]
)
answering = st.builds(
    lambda answer, rest: {**answer, **rest},
    answers,
    st.fixed_dictionaries(
        {}, optional={"match": st.lists(matches, min_size=1, max_size=3), "headers": headers}
    ),
)
rules = forwarding | answering
virtual_services = st.fixed_dictionaries(
    {
        "hosts": st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True),
        "gateways": st.lists(st.sampled_from(GATEWAYS), max_size=2, unique=True),
        "http": st.lists(rules, min_size=1, max_size=3),
    }
)
balancers = st.fixed_dictionaries(
    {"simple": st.sampled_from(["RANDOM", "ROUND_ROBIN", "LEAST_CONN"])}
)
pools = st.fixed_dictionaries(
    {},
    optional={
        "tcp": st.fixed_dictionaries(
            {},
            optional={
                "maxConnections": st.integers(0, 3),
                "connectTimeout": st.sampled_from(["1s", "20ms"]),
                "idleTimeout": st.just("1m"),
            },
        ),
        "http": st.fixed_dictionaries(
            {},
            optional={
                "http1MaxPendingRequests": st.integers(0, 3),
                "maxRetries": st.integers(0, 3),
                "idleTimeout": st.just("2s"),
            },
        ),
    },
)
ejections = st.fixed_dictionaries(
    {},
    optional={
        "consecutiveErrors": st.integers(0, 3),
        "consecutive5xxErrors": st.integers(0, 3),
        "splitExternalLocalOriginErrors": st.booleans(),
        "baseEjectionTime": st.sampled_from(["1s", "5s"]),
        "maxEjectionPercent": st.integers(0, 100),
    },
)
client_tls = st.sampled_from(
    [
        {"mode": "DISABLE"},
        {"mode": "ISTIO_MUTUAL"},
        {"mode": "SIMPLE", "sni": "c.example", "subjectAltNames": ["b", "a"]},
        {"mode": "MUTUAL", "clientCertificate": "/c.pem", "privateKey": "/k.pem"},
        {"mode": "MUTUAL", "credentialName": "shop"},
    ]
)
traffic_parts: dict[str, st.SearchStrategy[Any]] = {
    "loadBalancer": balancers,
    "connectionPool": pools,
    "outlierDetection": ejections,
    "tls": client_tls,
}
port_settings: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda number, parts: {"port": {"number": number}, **parts},
    st.sampled_from([80, 443, 9080]),
    st.fixed_dictionaries({}, optional=traffic_parts),
)
port_lists = st.lists(
    port_settings, max_size=2, unique_by=lambda settings: int(settings["port"]["number"])
)
traffic_policies = st.fixed_dictionaries(
    {}, optional={**traffic_parts, "portLevelSettings": port_lists}
)
subset_fields: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["v1", "v2"]),
    "labels": st.dictionaries(st.just("version"), st.sampled_from(["1", "2"])),
}
subset_options: dict[str, st.SearchStrategy[Any]] = {"trafficPolicy": traffic_policies}
subsets = st.fixed_dictionaries(subset_fields, optional=subset_options)
rule_fields: dict[str, st.SearchStrategy[Any]] = {
    "host": st.sampled_from([*HOSTS, "*.default.svc.cluster.local"]),
    "subsets": st.lists(subsets, max_size=2, unique_by=lambda subset: str(subset["name"])),
}


def _meant(value: Any) -> Any:
    """Without mTLS, which nobody outside the mesh can do; with the name that a wildcard lacks."""
    if value == {"mode": "ISTIO_MUTUAL"}:
        return {"mode": "DISABLE"}
    if isinstance(value, dict) and value.get("mode") in ("SIMPLE", "MUTUAL"):
        return {"sni": "c.example", **value}
    if isinstance(value, dict):
        return {key: _meant(part) for key, part in value.items()}
    return [_meant(part) for part in value] if isinstance(value, list) else value


# Hosts that ServiceEntries may have.
destination_rules = st.fixed_dictionaries(rule_fields, optional=subset_options).map(
    lambda rule: _meant(rule) if rule["host"].endswith("example") else rule
)
server_hosts = st.sampled_from(["*", "*.example", "c.example", "./*", "shop/c.example"])
http_tls = st.sampled_from([None, {"httpsRedirect": True}, {"httpsRedirect": False}])
https_tls = st.sampled_from(
    [
        {"mode": "SIMPLE", "credentialName": "shop"},
        {"mode": "SIMPLE", "serverCertificate": "/c.pem", "privateKey": "/k.pem"},
        {"mode": "MUTUAL", "credentialName": "other", "minProtocolVersion": "TLSV1_3"},
    ]
)
protocols = st.one_of(st.tuples(st.just("HTTP"), http_tls), st.tuples(st.just("HTTPS"), https_tls))
servers: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda number, hosts, protocol: _server(number, hosts, *protocol),
    st.sampled_from([80, 81, 443]),
    st.lists(server_hosts, min_size=1, max_size=2, unique=True),
    protocols,
)
server_lists = st.lists(
    servers, min_size=1, max_size=2, unique_by=lambda server: int(server["port"]["number"])
)
gateways = st.fixed_dictionaries(
    {
        "servers": server_lists,
        "selector": st.sampled_from([{}, {"istio": "ingressgateway"}, {"istio": "other"}]),
    }
)
endpoints = st.fixed_dictionaries(
    {"address": st.sampled_from(["10.0.0.1", "10.0.0.2"])},
    optional={"labels": st.just({"version": "1"}), "ports": st.just({"http": 8080})},
)
entry_ports = st.sampled_from(
    [
        [{"number": 80, "name": "http", "protocol": "HTTP"}],
        [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 443}],
        [
            {"number": 443, "name": "https", "protocol": "HTTPS"},
            {"number": 80, "name": "http", "protocol": "HTTP"},
        ],
    ]
)
listed_entries = st.fixed_dictionaries(
    {
        "hosts": st.lists(st.sampled_from(["c.example", "*.example"]), min_size=1, unique=True),
        "resolution": st.sampled_from(["STATIC", "DNS"]),
        "ports": entry_ports,
        "endpoints": st.lists(endpoints, min_size=1, max_size=2),
    }
)
named_entries = st.fixed_dictionaries(
    {"hosts": st.just(["c.example"]), "resolution": st.just("DNS"), "ports": entry_ports}
)
service_entries = listed_entries | named_entries


selectors = st.fixed_dictionaries(
    {"matchLabels": st.dictionaries(st.just("app"), st.sampled_from(["a", "b"]), min_size=1)}
)
mtls = st.fixed_dictionaries(
    {"mode": st.sampled_from(["UNSET", "DISABLE", "PERMISSIVE", "STRICT"])}
)
peer_authentications = st.fixed_dictionaries({}, optional={"mtls": mtls}) | st.fixed_dictionaries(
    {"selector": selectors},
    optional={
        "mtls": mtls,
        "portLevelMtls": st.dictionaries(st.sampled_from(["80", "9080"]), mtls, min_size=1),
    },
)
sources = st.fixed_dictionaries(
    {"namespaces": st.just(["shop"])},
    optional={"principals": st.just(["*"]), "notIpBlocks": st.just(["10.0.0.0/8"])},
)
operations = st.fixed_dictionaries(
    {"methods": st.just(["GET"])},
    optional={"paths": st.just(["/a*"]), "notPorts": st.just(["81"])},
)
conditions = st.just({"key": "source.serviceAccount", "values": ["a", "shop/a"]}) | st.just(
    {"key": "request.headers[x]", "notValues": ["1*"]}
)
authorization_rules = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(sources.map(lambda source: {"source": source}), min_size=1, max_size=2),
        "to": st.lists(operations.map(lambda to: {"operation": to}), min_size=1, max_size=2),
        "when": st.lists(conditions, max_size=2),
    },
)
authorization_policies = st.fixed_dictionaries(
    {},
    optional={
        "selector": selectors,
        "action": st.sampled_from(["ALLOW", "DENY"]),
        "rules": st.lists(authorization_rules, max_size=2),
    },
)


def _server(
    number: int, hosts: list[str], protocol: str, tls: dict[str, Any] | None
) -> dict[str, Any]:
    port = {"number": number, "name": f"p{number}", "protocol": protocol}
    return {"port": port, "hosts": hosts, **({} if tls is None else {"tls": tls})}


def document(kind: Kind, namespace: str, name: str, spec: dict[str, Any]) -> Document:
    """The document of a spec."""
    data = {
        "apiVersion": f"{GROUPS[kind]}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    parsed = parse(orjson.dumps(data).decode())
    assert parsed.documents, parsed.problems
    return parsed.documents[0]


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """One policy of any kind."""
    specs: dict[Kind, st.SearchStrategy[dict[str, Any]]] = {
        "VirtualService": virtual_services,
        "DestinationRule": destination_rules,
        "Gateway": gateways,
        "ServiceEntry": service_entries,
        "PeerAuthentication": peer_authentications,
        "AuthorizationPolicy": authorization_policies,
    }
    kind = draw(st.sampled_from([*specs]))
    names = ["web", "admin"] if kind == "Gateway" else ["one", "two", "three"]
    namespaces = [*NAMESPACES, "istio-system"] if GROUPS[kind] == SECURITY else NAMESPACES
    namespace, name = draw(st.sampled_from(namespaces)), draw(st.sampled_from(names))
    return document(kind, namespace, name, draw(specs[kind]))


policies = st.builds(Policy, documents(), st.integers(1, 3))
all_services = [service("a"), service("b", 80, 81), service("a", namespace="shop")]
services: st.SearchStrategy[list[Service]] = st.lists(st.sampled_from(all_services), unique=True)
worlds = st.builds(World.of, st.lists(policies, max_size=8), services)
