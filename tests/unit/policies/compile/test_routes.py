"""Rules as routes: which there are, in what order, and what of their matches is left."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.policy_mesh import Mesh, virtual_service
from tulle.policies.config import HttpMatch, Rewrite, Route, StringMatch, Target


def routes(http: str) -> tuple[Route, ...]:
    return Mesh(virtual_service(http)).outbound("reviews").ports[0].routes


def rule(match: str, action: str = "route: [{destination: {host: reviews}}]") -> str:
    return f"- {{match: [{match}], {action}}}\n"


def uri(kind: str, value: str) -> HttpMatch:
    return HttpMatch(uri=StringMatch(kind, value))  # type: ignore[arg-type]


def test_all_conditions_of_a_match_are_kept() -> None:
    match = (
        "{uri: {prefix: /a}, scheme: {exact: http}, method: {exact: GET}, authority: {regex: a.*}, "
        "headers: {X-B: {}, x-a: {exact: a}}, withoutHeaders: {X-C: {regex: '*'}}, "
        "queryParams: {Q: {exact: ''}, b: {}}, sourceLabels: {b: '2', a: '1'}, "
        "sourceNamespace: shop}"
    )
    [route] = routes(rule(match))
    assert route.matches == (
        HttpMatch(
            uri=StringMatch("prefix", "/a"),
            method=StringMatch("exact", "GET"),
            authority=StringMatch("regex", "a.*"),
            headers=(("x-a", StringMatch("exact", "a")), ("x-b", StringMatch("present"))),
            without_headers=(("x-c", StringMatch("present")),),
            query=(("Q", StringMatch("exact", "")), ("b", StringMatch("present"))),
            scheme=StringMatch("exact", "http"),
            source_labels=(("a", "1"), ("b", "2")),
            source_namespace="shop",
        ),
    )


def test_a_match_on_the_client_takes_not_everything() -> None:
    assert len(routes(rule("{sourceNamespace: shop}") + rule("{uri: {prefix: /}}"))) == 2


def test_behind_a_route_for_everything_there_is_none() -> None:
    matches = "{uri: {prefix: /a}}, {uri: {prefix: /}}, {uri: {prefix: /b}}"
    assert [r.matches for r in routes(rule(matches) + rule("{uri: {exact: /c}}"))] == [()]


def test_a_rule_is_as_many_routes_as_it_has_rewrites() -> None:
    matches = (
        "{uri: {prefix: /a}}, {uri: {prefix: /a}, method: {exact: GET}}, {uri: {exact: /b}}, "
        "{uri: {regex: /c}}, {uri: {prefix: /a}}"
    )
    action = "rewrite: {uri: /new}, route: [{destination: {host: reviews}}]"
    first, second, third = routes(rule(matches, action))
    assert first.rewrite == third.rewrite == Rewrite("prefix", "/a", "/new")
    assert first.matches == (
        uri("prefix", "/a"),
        HttpMatch(uri=StringMatch("prefix", "/a"), method=StringMatch("exact", "GET")),
    )
    assert second.rewrite == Rewrite("full", "", "/new")
    assert second.matches == (uri("exact", "/b"), uri("regex", "/c"))
    assert third.matches == (uri("prefix", "/a"),)
    assert first.targets == second.targets == third.targets


def test_without_a_rewrite_of_the_path_it_is_one() -> None:
    matches = "{uri: {prefix: /a}}, {uri: {exact: /b}}"
    action = "rewrite: {authority: x}, route: [{destination: {host: reviews}}]"
    assert len(routes(rule(matches, action))) == 1


def test_a_part_that_takes_everything_ends_the_routes() -> None:
    matches = "{uri: {prefix: /a/}}, {uri: {prefix: /}}, {uri: {prefix: /b/}}"
    action = "rewrite: {uri: /new/}, route: [{destination: {host: reviews}}]"
    first, second = routes(rule(matches, action) + rule("{uri: {prefix: /c}}"))
    assert (first.matches, second.matches) == ((uri("prefix", "/a/"),), ())
    assert second.rewrite == Rewrite("prefix", "/", "/new/")


def test_targets_that_are_equal_are_one() -> None:
    http = """\
- route:
  - {destination: {host: ratings}, weight: 1}
  - {destination: {host: ratings}, weight: 2, headers: {}}
  - {destination: {host: ratings}, weight: 4, headers: {request: {remove: [a]}}}
  - {destination: {host: ratings}, weight: 0, headers: {request: {remove: [b]}}}
"""
    [route] = routes(http)
    name = "outbound|9080||ratings.default.svc.cluster.local"
    assert [(target.cluster, target.weight) for target in route.targets] == [(name, 3), (name, 4)]
    assert route.targets[0] == Target(name, 3)


paths = st.sampled_from(["/", "/a", "/a/", "/a/b", "/b"])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "uri": st.one_of(
            st.builds(lambda path: {"exact": path}, paths),
            st.builds(lambda path: {"prefix": path}, paths),
        ),
        "method": st.just({"exact": "PUT"}),
        "sourceNamespace": st.sampled_from(["default", "shop"]),
    },
)
actions: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"route": [{"destination": {"host": "ratings"}}], "rewrite": {"uri": "/new/"}},
        {"route": [{"destination": {"host": "details"}}]},
        {"redirect": {"prefixRewrite": "/new/", "authority": "x"}},
    ]
)
rules = st.builds(
    lambda matches, action: {"match": matches, **action}, st.lists(conditions, max_size=3), actions
)


def told(http: list[dict[str, Any]], method: str, path: str) -> str:
    """What rules mean for a client of `default`, match by match, as Istio's documentation says."""
    for written in http:
        for match in written["match"] or [{}]:
            uri = match.get("uri", {"prefix": "/"})
            fits = path == uri["exact"] if "exact" in uri else path.startswith(uri["prefix"])
            if not fits or ("method" in match and method != "PUT"):
                continue
            if match.get("sourceNamespace", "default") != "default":
                continue
            new = "/new/" + ("" if "exact" in uri else path.removeprefix(uri["prefix"]))
            if "redirect" in written:
                return f"301 location: http://x{new}"
            return f"ratings; path {new}" if "rewrite" in written else "details"
    return "404 route_not_found"


@given(st.lists(rules, min_size=1, max_size=3), st.sampled_from(["GET", "PUT"]), paths)
@settings(max_examples=150, deadline=None)
def test_the_match_that_holds_decides_what_becomes_of_the_path(
    http: list[dict[str, Any]], method: str, path: str
) -> None:
    text = "\n".join(f"- {orjson.dumps(written).decode()}" for written in http)
    found = Mesh(virtual_service(text)).send(f"{method} http://reviews{path}")
    assert found == told(http, method, path)
