"""The demo's policies hold no mistake, and say what their first line says."""

from pathlib import Path

import pytest

from tulle.deploy.demo.bookstore import APPS, POLICIES, SERVICE_PORT
from tulle.policies.compile.world import compile_all
from tulle.policies.config import GatewayConfig, OutboundConfig, Target
from tulle.policies.parse import parse
from tulle.policies.validate import check
from tulle.policies.world import Policy, Port, Service, World

REVIEWS = "reviews.default.svc.cluster.local"
SERVICES = [
    Service("default", name, (Port(SERVICE_PORT),)) for name in dict.fromkeys(s for s, _ in APPS)
]
FILES = sorted(POLICIES.glob("*.yaml"))


def applied(*names: str) -> World:
    """The world after these files; each is as it should be when it is applied."""
    world = World.of(services=SERVICES)
    for name in names:
        parsed = parse((POLICIES / name).read_text(), name)
        world = world.with_policies(Policy(document, 1) for document in parsed.documents)
        assert [*parsed.problems, *check(world, parsed.documents)] == []
    return world


def reviews(world: World) -> OutboundConfig:
    found = compile_all(world)[("outbound", REVIEWS)]
    assert isinstance(found, OutboundConfig)
    return found


def shares(targets: tuple[Target, ...]) -> dict[str, int]:
    return {target.cluster.split("|")[2]: target.weight for target in targets}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_is_applied_without_a_warning(file: Path) -> None:
    names = ["bookstore.yaml"] if file.name == "bookstore.yaml" else ["bookstore.yaml", file.name]
    applied(*names)


def test_the_page_is_served_by_the_ingress() -> None:
    gateway = compile_all(applied("bookstore.yaml"))[("gateway", "ingress")]
    assert isinstance(gateway, GatewayConfig)
    assert [listener.port for listener in gateway.listeners] == [80]
    (cluster,) = gateway.clusters
    assert cluster.service == "default/productpage"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reviews-90-10.yaml", {"v1": 90, "v2": 10}),
        ("reviews-50-50.yaml", {"v1": 50, "v2": 50}),
    ],
)
def test_canaries(name: str, expected: dict[str, int]) -> None:
    (port,) = reviews(applied("bookstore.yaml", name)).ports
    (route,) = port.routes
    assert shares(route.targets) == expected


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_blue_and_green(version: str) -> None:
    (port,) = reviews(applied("bookstore.yaml", f"reviews-{version}.yaml")).ports
    assert [list(shares(route.targets)) for route in port.routes] == [[version]]


def test_jason_comes_before_everybody_else() -> None:
    (port,) = reviews(applied("bookstore.yaml", "reviews-jason.yaml")).ports
    his, others = port.routes
    ((name, match),) = his.matches[0].headers
    assert (name, match.kind, match.value) == ("end-user", "exact", "jason")
    assert list(shares(his.targets)) == ["v2"]
    assert (others.matches, list(shares(others.targets))) == ((), ["v3"])
