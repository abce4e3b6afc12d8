"""Who may send what: AuthorizationPolicies in, 403 by which rule out."""

import textwrap

import pytest

from tests.support.servers import Server, caller
from tulle.policies import reasons
from tulle.policies.decide.authorize import Caller

HEAD = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec:
"""


def policy(spec: str, name: str = "p", namespace: str = "default") -> str:
    return HEAD.format(name=name, namespace=namespace) + textwrap.indent(spec, "  ")


VIEWER = """\
selector: {matchLabels: {app: details}}
rules:
- from: [{source: {principals: [cluster.local/ns/default/sa/productpage]}}]
  to: [{operation: {methods: [GET]}}]
"""
ALLOWED = "allowed"
NOT_ALLOWED = "403 rbac_denied: not allowed"
DENIED = "403 rbac_denied by AuthorizationPolicy/default/p rules[0]"


def allow(rule: str) -> str:
    return f"rules: [{rule}]"


def deny(rule: str) -> str:
    return f"action: DENY\nrules: [{rule}]"


def source(fields: str) -> str:
    return f"{{from: [{{source: {{{fields}}}}}]}}"


def operation(fields: str) -> str:
    return f"{{to: [{{operation: {{{fields}}}}}]}}"


def when(key: str, fields: str) -> str:
    return f"{{when: [{{key: '{key}', {fields}}}]}}"


A = caller("a")
NEAR, FAR = caller("a", "10.1.2.3"), caller("a", "192.168.0.1")


def case(said: str, spec: str, request: str, peer: Caller | str, *rest: str) -> object:
    *headers, answer = rest
    return pytest.param(spec, request, peer, tuple(headers), answer, id=said)


@pytest.mark.parametrize(
    ("spec", "request_", "peer", "headers", "answer"),
    [
        # The viewer of Istio's bookstore
        case("GET from productpage to details is allowed", VIEWER, "GET /", "productpage", ALLOWED),
        case("POST from productpage is not allowed", VIEWER, "POST /", "productpage", NOT_ALLOWED),
        case("GET from ratings is not allowed", VIEWER, "GET /", "ratings", NOT_ALLOWED),
        case(
            "GET from productpage of another namespace is not allowed",
            VIEWER,
            "GET /",
            "shop/productpage",
            NOT_ALLOWED,
        ),
        case("GET without mTLS is not allowed", VIEWER, "GET /", "plain", NOT_ALLOWED),
        # Nothing, everything
        case("an empty spec denies all", "{}", "GET /", "a", NOT_ALLOWED),
        case("ALLOW without rules denies all", "rules: []", "GET /", "a", NOT_ALLOWED),
        case("ALLOW with an empty rule allows all", "rules: [{}]", "GET /", "plain", ALLOWED),
        case("DENY with an empty rule denies all", deny("{}"), "GET /", "a", DENIED),
        case("DENY without rules denies nothing", "action: DENY", "GET /", "a", ALLOWED),
        # Principals
        case(
            "principals * is any authenticated caller",
            allow(source("principals: ['*']")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "principals * is no plain caller",
            allow(source("principals: ['*']")),
            "GET /",
            "plain",
            NOT_ALLOWED,
        ),
        case(
            "a prefix of principals allows a namespace",
            allow(source("principals: [cluster.local/ns/shop/*]")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "a prefix of principals allows no other namespace",
            allow(source("principals: [cluster.local/ns/shop/*]")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "a suffix of principals allows an account of any namespace",
            allow(source("principals: ['*/sa/cart']")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "DENY notPrincipals denies other callers",
            deny(source("notPrincipals: [cluster.local/ns/default/sa/a]")),
            "GET /",
            "b",
            DENIED,
        ),
        case(
            "DENY notPrincipals lets the one named in",
            deny(source("notPrincipals: [cluster.local/ns/default/sa/a]")),
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "DENY notPrincipals denies plain callers",
            deny(source("notPrincipals: [cluster.local/ns/default/sa/a]")),
            "GET /",
            "plain",
            DENIED,
        ),
        case(
            "DENY notPrincipals * denies plain callers alone",
            deny(source("notPrincipals: ['*']")),
            "GET /",
            "plain",
            DENIED,
        ),
        case(
            "DENY notPrincipals * lets authenticated callers in",
            deny(source("notPrincipals: ['*']")),
            "GET /",
            "b",
            ALLOWED,
        ),
        # Namespaces and accounts
        case(
            "namespaces allow their callers",
            allow(source("namespaces: [shop]")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "namespaces allow no others",
            allow(source("namespaces: [shop]")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "namespaces may be a prefix",
            allow(source("namespaces: ['sh*']")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "DENY notNamespaces denies plain callers",
            deny(source("notNamespaces: [default]")),
            "GET /",
            "plain",
            DENIED,
        ),
        case(
            "ALLOW notNamespaces allows plain callers, as in Istio",
            allow(source("notNamespaces: [shop]")),
            "GET /",
            "plain",
            ALLOWED,
        ),
        case(
            "a service account alone is of the policy's namespace",
            allow(source("serviceAccounts: [a]")),
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "a service account alone is of no other namespace",
            allow(source("serviceAccounts: [a]")),
            "GET /",
            "shop/a",
            NOT_ALLOWED,
        ),
        case(
            "a service account with its namespace",
            allow(source("serviceAccounts: [shop/cart]")),
            "GET /",
            "shop/cart",
            ALLOWED,
        ),
        case(
            "DENY notServiceAccounts denies the others",
            deny(source("notServiceAccounts: [a]")),
            "GET /",
            "b",
            DENIED,
        ),
        # Addresses
        case(
            "ipBlocks allow their addresses, plain ones too",
            allow(source("ipBlocks: [10.0.0.0/8]")),
            "GET /",
            caller("plain", "10.1.2.3"),
            ALLOWED,
        ),
        case(
            "ipBlocks allow no others",
            allow(source("ipBlocks: [10.0.0.0/8]")),
            "GET /",
            FAR,
            NOT_ALLOWED,
        ),
        case(
            "DENY notIpBlocks denies addresses outside",
            deny(source("notIpBlocks: [10.0.0.0/8, '::1']")),
            "GET /",
            FAR,
            DENIED,
        ),
        case(
            "DENY notIpBlocks lets addresses inside in",
            deny(source("notIpBlocks: [10.0.0.0/8, '::1']")),
            "GET /",
            NEAR,
            ALLOWED,
        ),
        # All fields of a source, any source of a rule
        case(
            "all fields of a source must hold",
            allow(source("namespaces: [default], ipBlocks: [10.0.0.0/8]")),
            "GET /",
            FAR,
            NOT_ALLOWED,
        ),
        case(
            "one source of a rule is enough",
            allow("{from: [{source: {namespaces: [x]}}, {source: {namespaces: [default]}}]}"),
            "GET /",
            "a",
            ALLOWED,
        ),
        # Methods
        case(
            "a method is compared as it is",
            allow(operation("methods: [get]")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "methods may be a prefix", allow(operation("methods: ['P*']")), "PATCH /", "a", ALLOWED
        ),
        case(
            "notMethods leaves the rest",
            allow(operation("notMethods: [GET]")),
            "PUT /",
            "a",
            ALLOWED,
        ),
        case(
            "notMethods leaves out its own",
            allow(operation("notMethods: [GET]")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        # Paths
        case(
            "a path is compared whole",
            allow(operation("paths: [/a]")),
            "GET /a/b",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "a path's query does not count",
            allow(operation("paths: [/a]")),
            "GET /a?b=c",
            "a",
            ALLOWED,
        ),
        case("a path may be a prefix", allow(operation("paths: [/a*]")), "GET /a/b", "a", ALLOWED),
        case(
            "a path may be a suffix", allow(operation("paths: ['*/b']")), "GET /a/b", "a", ALLOWED
        ),
        case(
            "a path's case counts", deny(operation("paths: [/admin]")), "GET /Admin", "a", ALLOWED
        ),
        case("a path may be a wildcard", deny(operation("paths: ['*']")), "GET /", "a", DENIED),
        case(
            "dot segments do not slip past DENY",
            deny(operation("paths: [/admin*]")),
            "GET /public/../admin/x",
            "a",
            DENIED,
        ),
        case(
            "escaped dot segments do not either",
            deny(operation("paths: [/admin*]")),
            "GET /public/%2e%2E/admin",
            "a",
            DENIED,
        ),
        case(
            "escaped letters do not either",
            deny(operation("paths: [/admin]")),
            "GET /%61dmin",
            "a",
            DENIED,
        ),
        case(
            "backslashes do not either",
            deny(operation("paths: [/admin]")),
            "GET /public\\..\\admin",
            "a",
            DENIED,
        ),
        case(
            "a fragment does not either",
            deny(operation("paths: [/admin]")),
            "GET /admin#x",
            "a",
            DENIED,
        ),
        case(
            "dot segments do not slip into ALLOW",
            allow(operation("paths: [/public/*]")),
            "GET /public/../admin",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "slashes are not merged, as in Istio's BASE",
            deny(operation("paths: [/a/b]")),
            "GET /a//b",
            "a",
            ALLOWED,
        ),
        case(
            "an escaped slash is none, as in Istio's BASE",
            deny(operation("paths: [/a/b]")),
            "GET /a%2Fb",
            "a",
            ALLOWED,
        ),
        case(
            "notPaths leaves out its own",
            allow(operation("paths: [/a*], notPaths: [/a/b]")),
            "GET /a/b",
            "a",
            NOT_ALLOWED,
        ),
        # Hosts
        case(
            "a host without a port is that host on any port",
            allow(operation("hosts: [shop.example]")),
            "GET http://shop.example:8080/",
            "a",
            ALLOWED,
        ),
        case(
            "the case of a host does not count",
            deny(operation("hosts: [Shop.Example]")),
            "GET http://SHOP.example/",
            "a",
            DENIED,
        ),
        case(
            "a final dot does not slip past DENY",
            deny(operation("hosts: [shop.example]")),
            "GET http://shop.example./",
            "a",
            DENIED,
        ),
        case(
            "a host with a port is that port alone",
            allow(operation("hosts: ['shop.example:80']")),
            "GET http://shop.example:8080/",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "a suffix of hosts",
            allow(operation("hosts: ['*.example']")),
            "GET http://shop.example:80/",
            "a",
            ALLOWED,
        ),
        case(
            "host:* is a host with a port",
            allow(operation("hosts: ['shop.example:*']")),
            "GET http://shop.example/",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "notHosts leaves out its own",
            allow(operation("notHosts: [shop.example]")),
            "GET http://shop.example:81/",
            "a",
            NOT_ALLOWED,
        ),
        # Ports
        case("ports allow theirs", allow(operation("ports: ['9080']")), "GET /", "a", ALLOWED),
        case(
            "ports allow no others",
            allow(operation("ports: ['9080']")),
            "GET /",
            caller("a", port=81),
            NOT_ALLOWED,
        ),
        case(
            "DENY notPorts denies other ports",
            deny(operation("notPorts: ['9080']")),
            "GET /",
            caller("a", port=81),
            DENIED,
        ),
        # Operations together
        case(
            "all fields of an operation must hold",
            allow(operation("methods: [GET], paths: [/a]")),
            "POST /a",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "one operation of a rule is enough",
            allow("{to: [{operation: {methods: [GET]}}, {operation: {paths: [/a]}}]}"),
            "POST /a",
            "a",
            ALLOWED,
        ),
        case(
            "a source and an operation must hold together",
            allow("{from: [{source: {namespaces: [shop]}}], to: [{operation: {methods: [GET]}}]}"),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        # Conditions
        case(
            "when source.ip",
            allow(when("source.ip", "values: [10.0.0.0/8]")),
            "GET /",
            FAR,
            NOT_ALLOWED,
        ),
        case(
            "when source.ip has not these",
            deny(when("source.ip", "notValues: [10.0.0.0/8]")),
            "GET /",
            FAR,
            DENIED,
        ),
        case(
            "when source.namespace",
            allow(when("source.namespace", "values: [default]")),
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "when source.principal has not these, of a plain caller",
            deny(when("source.principal", "notValues: ['*']")),
            "GET /",
            "plain",
            DENIED,
        ),
        case(
            "when source.serviceAccount is of the policy's namespace",
            allow(when("source.serviceAccount", "values: [a]")),
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "when destination.port",
            allow(when("destination.port", "values: ['81']")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "when connection.sni",
            allow(when("connection.sni", "values: ['*.example']")),
            "GET /",
            caller("plain", sni="a.example"),
            ALLOWED,
        ),
        case(
            "when connection.sni * asks for one",
            allow(when("connection.sni", "values: ['*']")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "when a header has a value",
            allow(when("request.headers[X-Team]", "values: [books]")),
            "GET /",
            "a",
            "x-team: books",
            ALLOWED,
        ),
        case(
            "when a header is not there",
            allow(when("request.headers[X-Team]", "values: ['*']")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "when a header is there and empty, * holds",
            allow(when("request.headers[X-Team]", "values: ['*']")),
            "GET /",
            "a",
            "x-team: ",
            ALLOWED,
        ),
        case(
            "when a header has not a value, it need not be there",
            deny(when("request.headers[X-Team]", "notValues: [books]")),
            "GET /",
            "a",
            DENIED,
        ),
        case(
            "when a header is there twice it is one, joined by a comma",
            allow(when("request.headers[X-Team]", "values: ['a,b']")),
            "GET /",
            "a",
            "x-team: a",
            "x-team: b",
            ALLOWED,
        ),
        case(
            "values and notValues must both hold",
            allow(when("source.namespace", "values: ['*'], notValues: [default]")),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        case(
            "all conditions must hold",
            allow(
                "{when: [{key: source.namespace, values: [default]}, "
                "{key: 'request.headers[x]', values: ['1']}]}"
            ),
            "GET /",
            "a",
            NOT_ALLOWED,
        ),
        # Rules
        case(
            "one rule is enough",
            "rules: [" + source("namespaces: [x]") + ", {}]",
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "the rule that denies is named",
            "action: DENY\nrules: ["
            + operation("methods: [PUT]")
            + ", "
            + operation("methods: [GET]")
            + "]",
            "GET /",
            "a",
            DENIED.replace("[0]", "[1]"),
        ),
        # Selectors
        case(
            "a policy for other workloads does not count",
            "selector: {matchLabels: {app: reviews}}",
            "GET /",
            "a",
            ALLOWED,
        ),
        case(
            "all labels of a selector must be there",
            "selector: {matchLabels: {app: details, version: v1}}",
            "GET /",
            "a",
            ALLOWED,
        ),
    ],
)
def test_a_request_under_one_policy(
    spec: str, request_: str, peer: Caller | str, headers: tuple[str, ...], answer: str
) -> None:
    assert Server(policy(spec)).answer(request_, peer, *headers) == answer


ALLOW_ALL = policy("rules: [{}]", "open")
DENY_PUT = policy(deny(operation("methods: [PUT]")), "no-put")
MESH_DENY = policy(deny(source("namespaces: [shop]")), "mesh", "istio-system")


@pytest.mark.parametrize(
    ("policies", "namespace", "request_", "peer", "answer"),
    [
        pytest.param(
            (), "default", "GET /", "plain", ALLOWED, id="without a policy all is allowed"
        ),
        pytest.param(
            (ALLOW_ALL, DENY_PUT),
            "default",
            "PUT /",
            "a",
            "403 rbac_denied by AuthorizationPolicy/default/no-put rules[0]",
            id="DENY comes before ALLOW, however old",
        ),
        pytest.param(
            (policy(VIEWER, "v"), policy(allow(operation("paths: [/health]")), "health")),
            "default",
            "GET /health",
            "plain",
            ALLOWED,
            id="one ALLOW policy of several is enough",
        ),
        pytest.param(
            (policy(VIEWER, "v"), policy(allow(operation("paths: [/health]")), "health")),
            "default",
            "GET /x",
            "a",
            NOT_ALLOWED,
            id="of several ALLOW policies one must hold",
        ),
        pytest.param(
            (DENY_PUT,),
            "default",
            "GET /",
            "plain",
            ALLOWED,
            id="with DENY alone the rest is allowed",
        ),
        pytest.param(
            (MESH_DENY,),
            "far",
            "GET /",
            "shop/cart",
            "403 rbac_denied by AuthorizationPolicy/istio-system/mesh rules[0]",
            id="a policy of the root namespace holds in every namespace",
        ),
        pytest.param(
            (policy("{}", namespace="shop"),),
            "default",
            "GET /",
            "a",
            ALLOWED,
            id="a policy of another namespace does not count",
        ),
        pytest.param(
            (policy("{}", "none", "istio-system"), policy(VIEWER, "v")),
            "default",
            "GET /",
            "productpage",
            ALLOWED,
            id="a namespace opens what the mesh leaves closed",
        ),
        pytest.param(
            (policy("{}", "none", "istio-system"), policy(VIEWER, "v")),
            "shop",
            "GET /",
            "productpage",
            NOT_ALLOWED,
            id="allow-nothing in the root namespace closes all others",
        ),
        pytest.param(
            (policy(allow(source("namespaces: [x]")), namespace="istio-system"),),
            "istio-system",
            "GET /",
            "a",
            NOT_ALLOWED,
            id="the root namespace's policies hold for gateways",
        ),
        pytest.param(
            (policy("selector: {matchLabels: {app: details}}", namespace="istio-system"),),
            "default",
            "GET /",
            "a",
            NOT_ALLOWED,
            id="a selector of the root namespace selects in every namespace",
        ),
    ],
)
def test_a_request_under_several_policies(
    policies: tuple[str, ...], namespace: str, request_: str, peer: str, answer: str
) -> None:
    assert Server(*policies, namespace=namespace).answer(request_, peer) == answer
    assert Server(*reversed(policies), namespace=namespace).answer(request_, peer) == answer


def test_who_is_not_allowed_reads_who_it_is_and_what_is() -> None:
    denial = Server(policy(VIEWER, "details-viewer")).denial("GET /", caller("ratings"))
    assert denial is not None
    assert (denial.policy, denial.rule) == ("", "")
    assert denial.detail == (
        "spiffe://cluster.local/ns/default/sa/ratings is not allowed. "
        "AuthorizationPolicy/default/details-viewer allows (from principals "
        "cluster.local/ns/default/sa/productpage; to methods GET)"
    )


def test_who_is_denied_reads_by_what() -> None:
    denial = Server(DENY_PUT).denial("PUT /", caller("plain"))
    assert denial is not None
    assert (denial.policy, denial.rule) == ("AuthorizationPolicy/default/no-put", "rules[0]")
    assert denial.detail == (
        "A caller without mTLS (10.0.0.1) is denied by AuthorizationPolicy/default/no-put, "
        "rules[0]: to methods PUT"
    )


def test_a_denial_is_403_with_envoys_flag() -> None:
    assert reasons.REASONS["rbac_denied"] is reasons.RBAC_DENIED
    assert (reasons.RBAC_DENIED.status, reasons.RBAC_DENIED.flag) == (403, "UAEX")
