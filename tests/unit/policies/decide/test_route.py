"""Choosers: specialised, in order, by domain."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tulle.policies.config import HttpMatch, Route, StringMatch, Target, VirtualHost
from tulle.policies.decide.route import (
    Chooser,
    Client,
    compile_routes,
    compile_virtual_hosts,
    host_of,
)


class Untouchable(list[tuple[bytes, bytes]]):
    """Headers that must not be looked at."""

    def __iter__(self) -> object:  # type: ignore[override]
        raise AssertionError("the headers were looked at")


def uri(kind: str, value: str) -> tuple[HttpMatch, ...]:
    return (HttpMatch(uri=StringMatch(kind, value)),)  # type: ignore[arg-type]


def route(cluster: str, *matches: HttpMatch, timeout_ms: int | None = None) -> Route:
    return Route(cluster, matches, (Target(cluster, 1),), timeout_ms)


def ask(chooser: Chooser[str], path: str = "/", authority: str = "a") -> str | None:
    choice = chooser(b"GET", path.encode(), authority.encode(), Untouchable(), 0.5)
    return None if choice is None else choice.cluster


CLUSTERS = {name: name for name in ("one", "two", "three")}


def test_one_default_route_is_a_constant() -> None:
    only = route("one", timeout_ms=1500)
    chooser = compile_routes([only], CLUSTERS)
    first = chooser(b"GET", b"/", b"a", Untouchable(), 0.1)
    assert first is not None
    assert (first.cluster, first.timeout, first.route) == ("one", 1.5, only)
    assert chooser(b"PUT", b"/x?y", b"b", Untouchable(), 0.9) is first


def test_choices_are_made_once() -> None:
    chooser = compile_routes([route("one", *uri("exact", "/a"))], CLUSTERS)
    request = (b"GET", b"/a", b"", Untouchable(), 0.5)
    assert chooser(*request) is chooser(*request)


def test_routes_are_taken_in_order() -> None:
    routes = [
        route("one", *uri("prefix", "/a/b")),
        route("two", *uri("prefix", "/a")),
        route("three"),
    ]
    chooser = compile_routes(routes, CLUSTERS)
    assert [ask(chooser, path) for path in ("/a/b", "/a/c", "/c")] == ["one", "two", "three"]


def test_without_a_route_there_is_no_choice() -> None:
    assert ask(compile_routes([], CLUSTERS)) is None
    assert ask(compile_routes([route("one", *uri("exact", "/a"))], CLUSTERS), "/b") is None


@pytest.mark.parametrize(("kind", "value"), [("exact", "/a"), ("regex", "/[a]"), ("prefix", "/a")])
def test_the_query_is_not_part_of_the_path(kind: str, value: str) -> None:
    chooser = compile_routes([route("one", *uri(kind, value))], CLUSTERS)
    assert ask(chooser, "/a?b=/c") == "one"
    assert ask(chooser, "/b?x=/a") is None


def test_a_prefix_with_a_question_mark_never_reaches_the_query() -> None:
    assert ask(compile_routes([route("one", *uri("prefix", "/a?"))], CLUSTERS), "/a?b") is None


def test_a_cluster_that_is_not_given_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        compile_routes([route("four")], CLUSTERS)


HOSTS = (
    VirtualHost(("a.example", "b.example"), (route("one"),)),
    VirtualHost(("*.example",), (route("two"),)),
    VirtualHost(("*.x.example",), (route("three"),)),
)


@pytest.mark.parametrize(
    ("authority", "cluster"),
    [
        ("a.example", "one"),
        ("A.Example", "one"),
        ("b.example:8080", "one"),
        ("c.example", "two"),
        ("c.d.example:80", "two"),
        ("y.x.example", "three"),
        ("x.example", "two"),
        ("example", None),
        (".example", None),
        ("a.example.org", None),
        ("", None),
    ],
)
def test_the_most_specific_domain_is_taken(authority: str, cluster: str | None) -> None:
    chooser = compile_virtual_hosts(HOSTS, CLUSTERS)
    assert ask(chooser, authority=authority) == cluster


PATHS = ["/a", "/a/b", "/b"]
QUERIES = ["", "?q=1", "?q=2&q=1", "?x"]
CLIENTS = [Client("shop", (("app", "web"),)), Client("default", (), "https")]
values = st.builds(StringMatch, st.sampled_from(["exact", "prefix"]), st.sampled_from(PATHS))
asked = st.builds(
    HttpMatch,
    uri=st.none() | values,
    query=st.sampled_from([(), (("q", StringMatch("exact", "1")),)]),
    scheme=st.sampled_from([None, StringMatch("exact", "https")]),
    source_labels=st.sampled_from([(), (("app", "web"),)]),
    source_namespace=st.sampled_from(["", "shop", "default"]),
)
tables = st.lists(st.lists(asked, max_size=2).map(tuple), max_size=4)


def taken(matches: tuple[HttpMatch, ...], client: Client, path: str, query: str) -> bool:
    """What the matches of a route mean, said as simply as it can be."""
    value = {"?q=1": "1", "?q=2&q=1": "2"}.get(query)

    def holds(match: HttpMatch) -> bool:
        uri = match.uri
        if uri is not None and uri.kind == "exact" and path != uri.value:
            return False
        if uri is not None and not path.startswith(uri.value):
            return False
        return (
            (not match.query or value == "1")
            and (match.scheme is None or client.scheme == "https")
            and set(match.source_labels) <= set(client.labels)
            and match.source_namespace in ("", client.namespace)
        )

    return not matches or any(holds(match) for match in matches)


@given(tables, st.sampled_from(CLIENTS), st.sampled_from(PATHS), st.sampled_from(QUERIES))
@settings(max_examples=300)
def test_the_first_route_that_is_meant_is_taken(
    table: list[tuple[HttpMatch, ...]], client: Client, path: str, query: str
) -> None:
    routes = [route(str(at), *matches) for at, matches in enumerate(table)]
    clusters = {str(at): str(at) for at in range(len(table))}
    chooser = compile_routes(routes, clusters, client)
    expected = [str(at) for at, it in enumerate(table) if taken(it, client, path, query)]
    assert ask(chooser, path + query) == (expected[0] if expected else None)


def test_a_route_for_other_clients_is_not_compiled_at_all() -> None:
    for_shop = HttpMatch(source_namespace="shop", uri=StringMatch("exact", "/a"))
    routes = [route("one", for_shop), route("two")]
    chooser = compile_routes(routes, CLUSTERS, Client("default"))
    first = chooser(b"GET", b"/a", b"a", Untouchable(), 0.1)
    assert first is not None and first.cluster == "two"
    assert chooser(b"PUT", b"/b", b"b", Untouchable(), 0.9) is first  # a constant


def test_a_host_for_all_takes_all() -> None:
    chooser = compile_virtual_hosts([VirtualHost(("*",), (route("one"),))], CLUSTERS)
    assert ask(chooser, authority="") == "one"
    assert ask(compile_virtual_hosts([], CLUSTERS)) is None


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        (b"a", b"a"),
        (b"A:80", b"a"),
        (b"a:", b"a"),
        (b"[::1]:80", b"[::1]"),
        (b"[::1]", b"[::1]"),
        (b"a:b", b"a:b"),
        (b"", b""),
        (b"Example.com.:80", b"example.com"),
    ],
)
def test_the_host_of_an_authority(authority: bytes, host: bytes) -> None:
    assert host_of(authority) == host
