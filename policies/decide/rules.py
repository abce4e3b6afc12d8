"""A rule of an AuthorizationPolicy, compiled: what the connection decides, what each request must.

`bind` takes what is known of a caller out of the rule, so that a request is asked only what is
left. Counterpart: `authorize.py`, which puts the rules of all policies together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tulle.policies.config import AuthorizationRule, Condition, OperationMatch, SourceMatch
from tulle.policies.decide.match import Headers, RequestTest, header_value
from tulle.policies.decide.route import host_of
from tulle.policies.decide.values import ValueTest, in_blocks, one_of_bytes, one_of_texts


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is at the other end of a connection, and where it came in.

    `principal`, `namespace` and `account` are of its certificate, without `spiffe://`; all empty
    when it showed none. `address`: IP text. `port`: the service port. `sni` may be empty.
    """

    principal: str = ""
    namespace: str = ""
    account: str = ""
    address: str = ""
    port: int = 0
    sni: str = ""


CallerTest = Callable[[Caller], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds when one of `sources`, one of `operations` and both kinds of conditions do.

    Each source and operation is what it asks of the caller and, None for nothing, of the request.
    Request tests take the normalised path. `reads_path`: some of them look at it.
    """

    name: str
    sources: tuple[CallerTest, ...]
    operations: tuple[tuple[CallerTest, RequestTest | None], ...]
    caller_conditions: tuple[CallerTest, ...]
    request_conditions: tuple[RequestTest, ...]
    reads_path: bool

    def bind(self, caller: Caller) -> RequestTest | bool:
        """What is left to ask a caller's requests: nothing when True, or False (never holds)."""
        if not all(test(caller) for test in self.caller_conditions):
            return False
        if self.sources and not any(test(caller) for test in self.sources):
            return False
        operations = [left for test, left in self.operations if test(caller)]
        if self.operations and not operations:
            return False
        # An operation without a question to the request takes every request.
        choices = [] if None in operations else [test for test in operations if test is not None]
        left = [*self.request_conditions, *([_any_of(choices)] if choices else [])]
        return _all_of(left) if left else True

    @property
    def reads_headers(self) -> bool:
        """Whether it looks at more than method, path and authority."""
        return bool(self.request_conditions)

    @property
    def asks_requests(self) -> bool:
        """Whether anything in it is about a request."""
        return bool(self.request_conditions) or any(left for _, left in self.operations)

    def takes(self, caller: Caller) -> bool:
        """Whether it holds by the caller alone, without what it asks of requests."""
        return self.bind(caller) is not False


def compile_rule(rule: AuthorizationRule) -> Rule:
    """The rule as tests. ValueError: a condition on something that nobody knows."""
    asked = [_condition(condition) for condition in rule.conditions]
    return Rule(
        rule.name,
        tuple(_all_callers(tuple(_source(source))) for source in rule.sources),
        tuple(_operation(operation) for operation in rule.operations),
        tuple(caller for caller, _ in asked if caller is not None),
        tuple(request for _, request in asked if request is not None),
        any(operation.paths or operation.not_paths for operation in rule.operations),
    )


# -- what is asked of the caller ------------------------------------------------------------------


def _source(source: SourceMatch) -> Iterator[CallerTest]:
    yield from _both(_principal, source.principals, source.not_principals)
    yield from _both(_namespace, source.namespaces, source.not_namespaces)
    yield from _both(_account, source.service_accounts, source.not_service_accounts)
    yield from _both(_address, source.ip_blocks, source.not_ip_blocks)


def _both(
    make: Callable[[Sequence[str]], CallerTest], values: Sequence[str], not_values: Sequence[str]
) -> Iterator[CallerTest]:
    if values:
        yield make(values)
    if not_values:
        refused = make(not_values)
        yield lambda caller: not refused(caller)


def _principal(values: Sequence[str]) -> CallerTest:
    test = one_of_texts(values)
    return lambda caller: test(caller.principal)


def _namespace(values: Sequence[str]) -> CallerTest:
    test = one_of_texts(values)
    return lambda caller: test(caller.namespace)


def _account(values: Sequence[str]) -> CallerTest:
    names = frozenset(values)
    return lambda caller: f"{caller.namespace}/{caller.account}" in names


def _address(values: Sequence[str]) -> CallerTest:
    test = in_blocks(values)
    return lambda caller: test(caller.address)


def _port(values: Sequence[str]) -> CallerTest:
    numbers = frozenset(map(int, values))
    return lambda caller: caller.port in numbers


def _sni(values: Sequence[str]) -> CallerTest:
    test = one_of_texts(values)
    return lambda caller: test(caller.sni)


_ATTRIBUTES: dict[str, Callable[[Sequence[str]], CallerTest]] = {
    "source.ip": _address,
    "source.namespace": _namespace,
    "source.principal": _principal,
    "source.serviceAccount": _account,
    "destination.port": _port,
    "connection.sni": _sni,
}


# -- what is asked of a request -------------------------------------------------------------------


def _operation(operation: OperationMatch) -> tuple[CallerTest, RequestTest | None]:
    callers = tuple(_both(_port, operation.ports, operation.not_ports))
    requests = [
        *_requests(_method, operation.methods, operation.not_methods),
        *_requests(_path, operation.paths, operation.not_paths),
        *_requests(_host, operation.hosts, operation.not_hosts),
    ]
    return _all_callers(callers), _all_of(requests) if requests else None


def _condition(condition: Condition) -> tuple[CallerTest | None, RequestTest | None]:
    key, values, not_values = condition.key, condition.values, condition.not_values
    if key in _ATTRIBUTES:
        return _all_callers(tuple(_both(_ATTRIBUTES[key], values, not_values))), None
    if not key.startswith("request.headers["):
        raise ValueError(f"a condition on {key!r} can't be decided")
    name = key.removeprefix("request.headers[").removesuffix("]").lower().encode()
    return None, _all_of(list(_requests(lambda v: _header(name, v), values, not_values)))


def _requests(
    make: Callable[[Sequence[str]], RequestTest], values: Sequence[str], not_values: Sequence[str]
) -> Iterator[RequestTest]:
    if values:
        yield make(values)
    if not_values:
        refused = make(not_values)
        yield lambda m, p, a, h: not refused(m, p, a, h)


def _method(values: Sequence[str]) -> RequestTest:
    test = one_of_bytes(values)
    return lambda method, path, authority, headers: test(method)


def _path(values: Sequence[str]) -> RequestTest:
    test = one_of_bytes(values)
    return lambda method, path, authority, headers: test(path)


def _host(values: Sequence[str]) -> RequestTest:
    """A value without a port takes the host on any port, one with a port that alone."""
    test = one_of_bytes([value.lower() for value in values])
    return lambda m, p, authority, h: test(host_of(authority)) or test(authority.lower())


def _header(name: bytes, values: Sequence[str]) -> RequestTest:
    # `*` asks that the header is there, also when it is empty.
    test: ValueTest = (lambda _: True) if "*" in values else one_of_bytes(values)

    def holds(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        value = header_value(headers, name)
        return value is not None and test(value)

    return holds


# -- together -------------------------------------------------------------------------------------


def _all_callers(tests: tuple[CallerTest, ...]) -> CallerTest:
    return lambda caller: all(test(caller) for test in tests)


def _all_of(tests: Sequence[RequestTest]) -> RequestTest:
    if len(tests) == 1:
        return tests[0]

    def all_hold(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        for test in tests:  # a loop: half the cost of all()
            if not test(method, path, authority, headers):
                return False
        return True

    return all_hold


def _any_of(tests: Sequence[RequestTest]) -> RequestTest:
    if len(tests) == 1:
        return tests[0]

    def any_holds(method: bytes, path: bytes, authority: bytes, headers: Headers) -> bool:
        for test in tests:  # a loop: half the cost of any()
            if test(method, path, authority, headers):
                return True
        return False

    return any_holds
