"""Redirects and direct responses: answers that a policy gives by itself."""

import pytest

from tests.support.policy_mesh import Mesh, virtual_service

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 8888, name: alt, protocol: HTTP}, hosts: ["*"]}
"""
OLD = "http://old.example/a/x?q=1"
REDIRECTS = [
    ("a path", "{uri: /new}", OLD, "301 location: http://old.example/new?q=1"),
    ("a path with a query", "{uri: /n?y=2}", OLD, "301 location: http://old.example/n?y=2"),
    ("another host", "{authority: new.example}", OLD, "301 location: http://new.example/a/x?q=1"),
    (
        "host and path",
        "{authority: new.example, uri: /n}",
        "http://old.example/a",
        "301 location: http://new.example/n",
    ),
    ("https", "{scheme: https}", OLD, "301 location: https://old.example/a/x?q=1"),
    (
        "https forgets the port of http",
        "{scheme: https}",
        "http://old.example:80/",
        "301 location: https://old.example/",
    ),
    (
        "https keeps another port",
        "{scheme: https}",
        "http://old.example:8888/",
        "301 location: https://old.example:8888/",
    ),
    (
        "the port of the request stays",
        "{uri: /n}",
        "http://old.example:8888/",
        "301 location: http://old.example:8888/n",
    ),
    (
        "another port",
        "{port: 9443, scheme: https}",
        "http://old.example:8888/",
        "301 location: https://old.example:9443/",
    ),
    (
        "the scheme's own port is not written",
        "{port: 443, scheme: https}",
        "http://old.example:8888/",
        "301 location: https://old.example/",
    ),
    (
        "the port of the protocol",
        "{derivePort: FROM_PROTOCOL_DEFAULT, uri: /n}",
        "http://old.example:8888/",
        "301 location: http://old.example/n",
    ),
    (
        "the port of the request at another host",
        "{derivePort: FROM_REQUEST_PORT, authority: new.example}",
        "http://old.example:8888/",
        "301 location: http://new.example:8888/",
    ),
    (
        "port 80 of the request is not written",
        "{derivePort: FROM_REQUEST_PORT, authority: new.example}",
        "http://old.example/",
        "301 location: http://new.example/",
    ),
    (
        "an authority with a port",
        "{authority: 'new.example:81'}",
        "http://old.example:8888/",
        "301 location: http://new.example:81/",
    ),
    ("302", "{redirectCode: 302, uri: /n}", OLD, "302 location: http://old.example/n?q=1"),
    ("303", "{redirectCode: 303, uri: /n}", OLD, "303 location: http://old.example/n?q=1"),
    ("307", "{redirectCode: 307, uri: /n}", OLD, "307 location: http://old.example/n?q=1"),
    ("308", "{redirectCode: 308, uri: /n}", OLD, "308 location: http://old.example/n?q=1"),
]


@pytest.mark.parametrize(
    ("redirect", "url", "answer"), [it[1:] for it in REDIRECTS], ids=[it[0] for it in REDIRECTS]
)
def test_redirects(redirect: str, url: str, answer: str) -> None:
    rules = virtual_service(f"- redirect: {redirect}", hosts='["*"]', gateways="[web]")
    assert Mesh(GATEWAY, rules).enter(f"GET {url}") == answer


PREFIXES = """\
- match: [{uri: {prefix: /old/}}, {uri: {prefix: /older/}}, {uri: {exact: /oldest}}]
  redirect: {prefixRewrite: /new/}
- match: [{uri: {regex: "/r.*"}}]
  redirect: {prefixRewrite: /regex, redirectCode: 308}
- redirect: {prefixRewrite: /all/}
"""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/old/a?q", "301 location: http://reviews/new/a?q", id="a prefix"),
        pytest.param("/older/a", "301 location: http://reviews/new/a", id="another of the rule"),
        pytest.param("/oldest", "301 location: http://reviews/new/", id="an exact path"),
        pytest.param("/r/x?q", "308 location: http://reviews/regex?q", id="the whole of a regex"),
        pytest.param("/x", "301 location: http://reviews/all/x", id="a rule without a match"),
    ],
)
def test_redirects_of_prefixes(path: str, answer: str) -> None:
    assert Mesh(virtual_service(PREFIXES)).send(f"GET http://reviews{path}") == answer


DIRECT = """\
- match: [{uri: {prefix: /text}}]
  directResponse: {status: 503, body: {string: closed today}}
- match: [{uri: {prefix: /bytes}}]
  directResponse: {status: 200, body: {bytes: e30=}}
  headers: {response: {set: {content-type: application/json}, add: {cache-control: no-store}}}
- match: [{uri: {prefix: /empty}}]
  directResponse: {status: 204}
- match: [{uri: {prefix: /teapot}}]
  directResponse: {status: 418, body: {string: "50 % tea"}}
  headers: {response: {remove: [Content-Type]}, request: {set: {x-unused: "1"}}}
- match: [{uri: {prefix: /moved}}]
  redirect: {uri: /there}
  headers: {response: {add: {x-why: spring cleaning}}}
- route: [{destination: {host: reviews}}]
"""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/text", "503 content-type: text/plain (closed today)", id="a text"),
        pytest.param(
            "/bytes",
            "200 content-type: application/json, cache-control: no-store ({})",
            id="bytes of a type",
        ),
        pytest.param("/empty", "204", id="no body, no type"),
        pytest.param("/teapot", "418 (50 % tea)", id="the type may be removed"),
        pytest.param(
            "/moved?q",
            "301 location: http://reviews/there?q, x-why: spring cleaning",
            id="headers of a redirect",
        ),
        pytest.param("/else", "reviews", id="another request goes on"),
    ],
)
def test_direct_responses(path: str, answer: str) -> None:
    assert Mesh(virtual_service(DIRECT)).send(f"GET http://reviews{path}") == answer


def test_an_answer_needs_no_destination() -> None:
    mesh = Mesh(virtual_service("- directResponse: {status: 200}", hosts="[gone.example]"))
    assert mesh.send("GET http://gone.example/") == "200"
    assert mesh.outbound("gone.example").clusters == ()
