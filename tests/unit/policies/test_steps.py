"""Work in steps gives what the work at once gives, and many routes take many steps."""

from typing import TypeVar

import pytest

from tests.support.proxy_world import cluster, host
from tulle.policies import config as configs
from tulle.policies.config import HttpMatch, OutboundConfig, PortRoutes, Route, StringMatch, Target
from tulle.policies.decide.route import compiling_routes
from tulle.policies.steps import Steps, finished

T = TypeVar("T")


def many_routes(count: int) -> OutboundConfig:
    """The config of host `reviews` with so many routes."""
    to = cluster("reviews")
    routes = tuple(Route(f"r{n}", (), (Target(to.name, 1),)) for n in range(count))
    return OutboundConfig(host("reviews"), "default", (PortRoutes(9080, "http", routes),), (to,))


def counted(steps: Steps[T]) -> int:
    """How many steps it takes."""
    return sum(1 for _ in steps)


def test_a_config_is_decoded_in_steps_to_the_same() -> None:
    config = many_routes(100)
    data = configs.encode(config)
    assert finished(configs.decoding(data)) == config
    assert counted(configs.decoding(data)) >= 100 / 16


def test_routes_are_compiled_one_a_step() -> None:
    to = cluster("reviews").name
    match = HttpMatch(uri=StringMatch("prefix", "/a"))
    routes = [Route(f"r{n}", (match,), (Target(to, 1),)) for n in range(100)]
    assert counted(compiling_routes(routes, {to: "reviews"})) == 100


@pytest.mark.parametrize(
    "spec",
    [b'{"routes":[1]}', b'{"ports":[{"routes":[{"name":1}]}]}', b"[]"],
)
def test_what_is_no_config_is_refused(spec: bytes) -> None:
    data = b'{"spec":%b,"v":1,"version":""}' % spec
    with pytest.raises(ValueError, match="not a config"):
        configs.decode(data)
