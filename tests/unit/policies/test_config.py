"""The wire form of configs, and its version: the hash of the content, of all of it."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import orjson
import pytest

from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Cluster,
    Condition,
    Config,
    GatewayConfig,
    GatewayListener,
    HostEntry,
    HostsConfig,
    HttpMatch,
    InboundConfig,
    OperationMatch,
    OutboundConfig,
    PeerAuthenticationConfig,
    PortRoutes,
    Route,
    SourceMatch,
    StaticEndpoint,
    StringMatch,
    Target,
    VirtualHost,
    decode,
    encode,
)


def routes() -> tuple[Route, ...]:
    match = HttpMatch(uri=StringMatch("prefix", "/"), headers=(("a", StringMatch("present")),))
    return (Route("one", (match,), (Target("c", 90), Target("d", 10)), 500, "vs/default/x"),)


def clusters() -> tuple[Cluster, ...]:
    static = StaticEndpoint("10.0.0.1", 80, (("version", "v1"),))
    return (Cluster("c", "reviews", 9080, labels=(("version", "v1"),), endpoints=(static,)),)


def inbound() -> InboundConfig:
    app = (("app", "a"),)
    peer = PeerAuthenticationConfig("pa/default/x", app, "STRICT", ((80, "DISABLE"),))
    source = SourceMatch(*((name,) for name in "abcdefgh"))
    operation = OperationMatch(*((name,) for name in "abcdefgh"))
    rule = AuthorizationRule("rules[0]", (source,), (operation,), (Condition("k", ("a",), ("b",)),))
    return InboundConfig("default", (peer,), (AuthorizationConfig("ap/x", app, "DENY", (rule,)),))


def configs() -> list[Config]:
    """One of each kind with every field filled; made anew by each call."""
    return [
        HostsConfig((HostEntry("reviews.default", "default", "reviews.default"),)),
        OutboundConfig("reviews", "default", (PortRoutes(80, "http", routes()),), clusters()),
        inbound(),
        GatewayConfig(
            "ingress",
            (GatewayListener(80, "HTTP", (VirtualHost(("*",), routes()),)),),
            clusters(),
        ),
    ]


def changed(value: Any) -> Iterator[Any]:
    """`value` with one thing in it changed, for each thing."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in changed(getattr(value, field.name)):
                yield replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        yield (*value, "more")
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield from ((*value[:at], other, *value[at + 1 :]) for other in changed(item))
    elif isinstance(value, str):
        yield value + "!"
    elif isinstance(value, bool):
        yield not value
    else:
        yield (value or 0) + 1


def version(config: Config) -> str:
    return str(orjson.loads(encode(config))["version"])


KINDS = ["hosts", "outbound", "inbound", "gateway"]


@pytest.mark.parametrize("at", range(4), ids=KINDS)
def test_what_is_written_is_what_is_read(at: int) -> None:
    assert decode(encode(configs()[at])) == configs()[at]


@pytest.mark.parametrize("at", range(4), ids=KINDS)
def test_equal_configs_have_equal_versions_and_any_change_another(at: int) -> None:
    config = configs()[at]
    assert config is not configs()[at]
    assert version(config) == version(configs()[at])
    others = list(changed(config))
    assert len({version(other) for other in others} | {version(config)}) == len(others) + 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"v":2,"spec":{}}', "config of version 1 expected"),
        (b"[]", "config of version 1 expected"),
        (b'{"v":1,"spec":{"kind":"hosts","hosts":7}}', "not a config"),
    ],
)
def test_what_is_no_config_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(data)
