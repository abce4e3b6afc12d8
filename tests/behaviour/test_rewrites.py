"""Paths and authorities that are changed before a request goes on."""

import pytest

from tests.support.policy_mesh import Mesh, virtual_service

REWRITES = """\
- match: [{uri: {prefix: /api/}}, {uri: {exact: /api}}]
  rewrite: {uri: /}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /bare}}]
  rewrite: {uri: /}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /ratings}}, {uri: {prefix: /rates}}, {uri: {exact: /one}}]
  rewrite: {uri: /v1/ratings}
  route: [{destination: {host: ratings}}]
- match: [{uri: {prefix: /Any/}, ignoreUriCase: true}]
  rewrite: {uri: /some/}
  route: [{destination: {host: reviews}}]
- match: [{uri: {regex: "/items/[0-9]+"}}]
  rewrite: {uri: /item}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /service/}}]
  rewrite: {uriRegexRewrite: {match: "^/service/([^/]+)(/.*)$", rewrite: '\\2/instance/\\1'}}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /xxx}}]
  rewrite: {uriRegexRewrite: {match: "x", rewrite: 'yy'}}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /cut}}]
  rewrite: {uriRegexRewrite: {match: "^/cut/", rewrite: 'left/'}}
  route: [{destination: {host: reviews}}]
- match: [{uri: {prefix: /shop}}]
  rewrite: {authority: shop.example:8080}
  route: [{destination: {host: reviews}}]
- match: [{uri: {exact: /home}}]
  rewrite: {authority: home.example, uri: /}
  route: [{destination: {host: reviews}}]
- match: [{headers: {x-old: {}}}]
  rewrite: {uri: /old/}
  route: [{destination: {host: reviews}}]
- match: [{method: {exact: PUT}, uri: {prefix: /}}]
  rewrite: {uri: /put/}
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: details}}]
"""
CASES = [
    ("a prefix with its slash", "/api/books/1", "reviews; path /books/1"),
    ("nothing behind the prefix", "/api/", "reviews; path /"),
    ("an exact match is rewritten as a whole", "/api", "reviews; path /"),
    ("the query stays", "/api/books?x=/api/", "reviews; path /books?x=/api/"),
    ("the query stays behind an exact match", "/api?x", "reviews; path /?x"),
    ("only the first prefix is replaced", "/api/api/x", "reviews; path /api/x"),
    ("a prefix is text, as in Istio", "/bare/x", "reviews; path //x"),
    ("each prefix of a rule for itself", "/ratings/7", "ratings; path /v1/ratings/7"),
    ("its second prefix", "/rates/7", "ratings; path /v1/ratings/7"),
    ("its exact path", "/one", "ratings; path /v1/ratings"),
    ("a prefix that ends in a word", "/ratings7", "ratings; path /v1/ratings7"),
    ("a prefix in another case", "/aNY/Thing", "reviews; path /some/Thing"),
    ("a regex match is rewritten as a whole", "/items/12?q", "reviews; path /item?q"),
    ("groups of a regex rewrite", "/service/foo/v1/api", "reviews; path /v1/api/instance/foo"),
    ("a regex rewrite never sees the query", "/service/a/b?/c", "reviews; path /b/instance/a?/c"),
    ("a regex rewrite that finds nothing", "/service/foo", "reviews; path /service/foo"),
    ("every match of the regex is replaced", "/xxx/ax", "reviews; path /yyyyyy/ayy"),
    ("a path always begins with a slash", "/cut/x", "reviews; path /left/x"),
    ("an authority", "/shop/x", "reviews; authority shop.example:8080"),
    ("path and authority", "/home?q", "reviews; path /?q; authority home.example"),
    ("a rule that asks for no path replaces the first slash", "/x", "reviews; path /old/x"),
    ("other rules rewrite nothing", "/other", "details"),
]


@pytest.mark.parametrize(
    ("path", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_rewrites(path: str, answer: str) -> None:
    headers = ["x-old: 1"] if path == "/x" else []
    assert Mesh(virtual_service(REWRITES)).send(f"GET http://reviews{path}", *headers) == answer


def test_a_prefix_of_a_slash_is_one() -> None:
    mesh = Mesh(virtual_service(REWRITES))
    assert mesh.send("PUT http://reviews/x?q=1") == "reviews; path /put/x?q=1"


def test_matches_of_one_rule_are_taken_in_order() -> None:
    http = """\
- match: [{uri: {prefix: /a/b/}}, {uri: {prefix: /a/}}, {uri: {prefix: /}}, {uri: {prefix: /z/}}]
  rewrite: {uri: /new/}
  route: [{destination: {host: reviews}}]
- route: [{destination: {host: details}}]
"""
    mesh = Mesh(virtual_service(http))
    paths = ["/a/b/x", "/a/x", "/x", "/z/x"]
    assert [mesh.send(f"GET http://reviews{path}") for path in paths] == [
        "reviews; path /new/x",
        "reviews; path /new/x",
        "reviews; path /new/x",
        "reviews; path /new/z/x",  # the prefix / came first
    ]


def test_parts_of_a_rule_have_one_name() -> None:
    mesh = Mesh(virtual_service(REWRITES))
    routes = mesh.outbound("reviews").ports[0].routes
    assert [route.name for route in routes][:3] == ["http[0]", "http[0]", "http[1]"]


def test_seams_between_prefix_and_rewrite_are_warned_of() -> None:
    warnings = Mesh(virtual_service(REWRITES)).problems
    assert [(p.path, p.message.split(";")[0]) for p in warnings] == [
        ("spec.http[1].rewrite.uri", "turns /bare/x into //x"),
    ]
