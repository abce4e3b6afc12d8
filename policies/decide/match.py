"""Conditions on a request as predicates on bytes. What a match does not ask for is never looked at.

Paths come without the query, which is parsed only where a match asks for it. A header that is
there more than once is compared as one value joined by commas, as Envoy does.
"""

from collections.abc import Callable, Iterator, Sequence

from tulle.policies.config import HttpMatch, StringMatch
from tulle.policies.regex import compile_regex

Headers = list[tuple[bytes, bytes]]
"""Names in lower case."""

ValueTest = Callable[[bytes], bool]
RequestTest = Callable[[bytes, bytes, bytes, Headers], bool]
"""Arguments: method, path without query, authority, headers."""
QueryTest = Callable[[bytes], bool]
"""Argument: the query, without the question mark."""


def compile_matches(matches: Sequence[HttpMatch]) -> RequestTest | None:
    """A test that holds when one of `matches` does; None when there is nothing to ask.

    What the matches ask of the client is not looked at (see `client.possible`). When one asks for
    the query (`asks_query`) the test takes the path with it.
    """
    whole = asks_query(matches)
    tests = [_on_target(match) if whole else _compile_match(match) for match in matches]
    if not tests or None in tests:
        return None
    if all(_asks_for_plain_path(match) for match in matches):
        return _any_path([match.uri for match in matches if match.uri is not None])
    if len(tests) == 1:
        return tests[0]
    alternatives = tuple(test for test in tests if test is not None)

    def any_holds(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        for test in alternatives:  # a loop: half the cost of any()
            if test(method, path, authority, headers):
                return True
        return False

    return any_holds


def asks_query(matches: Sequence[HttpMatch]) -> bool:
    """Whether the test of these matches takes the path with its query."""
    return any(match.query for match in matches)


def compile_value(match: StringMatch) -> ValueTest:
    """A test of one value. `exact` and `prefix` need no regular expression."""
    value = match.value.encode()
    match match.kind:
        case "present":
            return lambda _: True
        case "regex":
            return compile_regex(match.value)
        case "exact" if match.ignore_case:
            lower = value.lower()
            return lambda given: given.lower() == lower
        case "exact":
            return value.__eq__
        case "prefix" if match.ignore_case:
            lower = value.lower()
            return lambda given: given.lower().startswith(lower)
        case "prefix":
            return lambda given: given.startswith(value)


def header_value(headers: Headers, name: bytes) -> bytes | None:
    """The value of a header, several joined by commas; None when it is not there."""
    values = [value for given, value in headers if given == name]
    if not values:
        return None
    return values[0] if len(values) == 1 else b",".join(values)


def _asks_for_plain_path(match: HttpMatch) -> bool:
    """Whether all that it asks is that the path is, or begins with, a text."""
    uri = match.uri
    plain = uri is not None and uri.kind in ("exact", "prefix") and not uri.ignore_case
    return plain and match == HttpMatch(uri=uri)


def _any_path(uris: Sequence[StringMatch]) -> RequestTest:
    """One test for any number of plain paths."""
    exact = frozenset(uri.value.encode() for uri in uris if uri.kind == "exact")
    prefixes = tuple(uri.value.encode() for uri in uris if uri.kind == "prefix")
    if not prefixes:
        return lambda method, path, authority, headers: path in exact
    if not exact:
        return lambda method, path, authority, headers: path.startswith(prefixes)
    return lambda method, path, authority, headers: path in exact or path.startswith(prefixes)


def _compile_match(match: HttpMatch) -> RequestTest | None:
    tests = tuple(_parts(match))
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda m, p, a, h: first(m, p, a, h) and second(m, p, a, h)

    def all_hold(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        for test in tests:  # a loop: half the cost of all()
            if not test(method, path, authority, headers):
                return False
        return True

    return all_hold


def _parts(match: HttpMatch) -> Iterator[RequestTest]:
    """Cheap tests first."""
    if match.method is not None:
        yield _method(compile_value(match.method))
    if match.uri is not None:
        yield _path(compile_value(match.uri))
    if match.authority is not None:
        yield _authority(compile_value(match.authority))
    for name, header in match.headers:
        yield _header(name.encode(), header)
    for name, header in match.without_headers:
        yield _without(name.encode(), header)


def _method(test: ValueTest) -> RequestTest:
    return lambda method, path, authority, headers: test(method)


def _path(test: ValueTest) -> RequestTest:
    return lambda method, path, authority, headers: test(path)


def _authority(test: ValueTest) -> RequestTest:
    return lambda method, path, authority, headers: test(authority)


def _header(name: bytes, match: StringMatch) -> RequestTest:
    test = compile_value(match)

    def holds(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        value = header_value(headers, name)
        return value is not None and test(value)

    return holds


def _without(name: bytes, match: StringMatch) -> RequestTest:
    test = compile_value(match)

    def holds(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        value = header_value(headers, name)
        return value is None or not test(value)

    return holds


def _on_target(match: HttpMatch) -> RequestTest | None:
    """The test of a match on paths with their query."""
    test = _compile_match(match)
    if not match.query:
        return None if test is None else _on_path(test)
    query_test = _compile_query(match.query)

    def holds(method: bytes, target: bytes, authority: bytes, headers: Headers) -> bool:
        path, _, query = target.partition(b"?")
        return (test is None or test(method, path, authority, headers)) and query_test(query)

    return holds


def _on_path(test: RequestTest) -> RequestTest:
    return lambda method, target, authority, headers: test(
        method, target.partition(b"?")[0], authority, headers
    )


def _compile_query(matches: Sequence[tuple[str, StringMatch]]) -> QueryTest:
    tests = tuple((name.encode(), compile_value(match)) for name, match in matches)

    def holds(query: bytes) -> bool:
        values = query_values(query)
        for name, test in tests:
            value = values.get(name)
            if value is None or not test(value):
                return False
        return True

    return holds


def query_values(query: bytes) -> dict[bytes, bytes]:
    """`a=1&b&a=2` -> `{a: 1, b: ""}`: the first of each name, as written, as Envoy does."""
    values: dict[bytes, bytes] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        values.setdefault(name, value)
    return values
