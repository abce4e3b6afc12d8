"""Choosers: specialised, in order, by domain."""

import pytest

from tulle.policies.config import HttpMatch, Route, StringMatch, Target, VirtualHost
from tulle.policies.decide.route import Chooser, compile_routes, compile_virtual_hosts, host_of


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
