"""What is measured: each scenario is one kind of traffic that every contestant carries alike.

The generators of configuration (`nginx.py`, `envoy.py`, `haproxy.py`, `ours.py`) all read these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HOST = "bench.example"
BACKEND_HOST = "backend.example"
PREFIXES = ("/api/", "/")  # the routes, in order; all go to the backend
BODY = "An answer as small as those of most services are, in 67 bytes: ok!\n"  # 67 bytes


@dataclass(frozen=True, slots=True)
class Scenario:
    """`connections` of wrk that send GETs of `path`, one after the other each, at full speed.

    `pair`: a contestant is a gateway and a sidecar with mTLS between them, else one gateway.
    `varied`: as browsers are, with ten headers; a path below `path`, a cookie and another header
    are said once and never again.
    """

    name: str
    title: str
    path: str = "/api/hello"
    connections: int = 32
    pair: bool = False
    varied: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("http1", "wrk -> gateway -> nginx, HTTP/1.1, a small body"),
        Scenario("http1-varied", "as http1, no request like another", varied=True),
        Scenario(
            "http1-mtls-pair", "wrk -> gateway -> mTLS -> sidecar with RBAC -> nginx", pair=True
        ),
        Scenario(
            "http1-mtls-pair-varied", "the same, no request like another", pair=True, varied=True
        ),
    )
}
