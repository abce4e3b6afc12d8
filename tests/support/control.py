"""Control actors in a test's own process and event loop, on a real NATS."""

from pathlib import Path

from tests.support.nats import BusUnderTest
from tulle.actors.control import ControlSpec, Role


def control_spec(
    bus: BusUnderTest, home: Path, role: Role, *, leaf_ttl_seconds: float = 86_400.0
) -> ControlSpec:
    """What the actor `role` of the test's mesh is told; `home` is its mesh's folder."""
    return ControlSpec(
        role=role,
        id="1",
        mesh=bus.subjects.mesh,
        nats_url=bus.server.url,
        nats_credentials=str(bus.creds / f"{role}.json"),
        nats_keys=str(bus.creds.parent / "nats"),
        home=str(home),
        leaf_ttl_seconds=leaf_ttl_seconds,
    )
