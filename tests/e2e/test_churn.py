"""Workloads come and go for a minute under traffic: what is lost, and that it had to be.

SIGTERM of `tulle run` loses nothing. kill -9 of it, which takes its app along, loses only requests
that were on their way to the app or begun by it and may not be sent again: no GET, and no POST of
another moment or another's.
"""

import http.client
import itertools
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.mesh import Mesh, Reply, Running, reply_of, until
from tests.support.steady_traffic import steady_traffic

pytestmark = pytest.mark.timeout(240)

POLICY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.test]
  gateways: [shop]
  http: [{route: [{destination: {host: shop}}]}]
"""
APP = Path(__file__).parents[1] / "support/ledger_app.py"
CHURN_SECONDS = 60.0
WORKLOADS = 3
DYING_SECONDS = 1.0  # from the kill until nobody sends to it any more
GETS_PER_SECOND, POSTS_PER_SECOND = 40.0, 25.0


@dataclass
class Shop:
    """A service behind the ingress, whose apps share a ledger."""

    mesh: Mesh
    ledger: Path
    running: list[Running] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    lost: dict[str, tuple[float, float]] = field(default_factory=dict)  # path: began, ended

    def begun(self) -> list[tuple[str, str, str]]:
        """Method, path and workload of each request that an app has begun."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        return [(m, p, w) for m, p, w in (line.split(" ") for line in text.splitlines())]

    def workloads(self) -> set[str]:
        """Who has begun a request."""
        return {workload for _, _, workload in self.begun()}

    def start(self) -> None:
        """One workload more; it is an endpoint when it gets requests."""
        name = f"shop-{next(self.numbers)}"
        command = (sys.executable, str(APP), str(self.ledger))
        arguments = ("run", "shop", "--version", name, "--port", "0:9080", "--", *command)
        app = self.mesh.start(name, *arguments)
        self.mesh.apps.append(app)
        self.running.append(app)

    def serves(self, app: Running) -> bool:
        """Whether it is an endpoint."""
        return any(workload.startswith(f"shop-{app.name}-") for workload in self.workloads())

    def ask(self, method: str) -> Reply:
        """A request of its own path."""
        path, began = f"/{next(self.numbers)}", time.monotonic()
        address, _, port = self.mesh.file.ingress.rpartition(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=15)
        try:
            connection.request(method, path, headers={"host": "shop.test"})
            reply = reply_of(connection.getresponse())
            if reply.status != 200:
                self.lost[path] = began, time.monotonic()
            return reply
        except OSError:
            self.lost[path] = began, time.monotonic()
            raise
        finally:
            connection.close()


@pytest.fixture
def shop(mesh: Mesh) -> Iterator[Shop]:
    """`WORKLOADS` endpoints; afterwards nothing of it is left, as the mesh is everybody's."""
    shop = Shop(mesh, mesh.home / "ledger")
    for _ in range(WORKLOADS):
        shop.start()
    mesh.apply(POLICY)
    until(lambda: all(w.state == "ready" for w in mesh.workloads("shop")), 60)
    yield shop
    for app in shop.running:
        app.end()
    mesh.succeed("delete", "--wait", "gw", "shop")
    mesh.succeed("delete", "--wait", "vs", "shop")


def test_what_may_be_repeated_is_never_lost(shop: Shop) -> None:
    ends = itertools.cycle([signal.SIGTERM, signal.SIGKILL])
    ended: Counter[signal.Signals] = Counter()
    killed: dict[str, float] = {}  # workloads, and when
    with (
        steady_traffic(lambda: shop.ask("GET"), GETS_PER_SECOND) as gets,
        steady_traffic(lambda: shop.ask("POST"), POSTS_PER_SECOND) as posts,
    ):
        until(lambda: all(map(shop.serves, shop.running)), 60)
        deadline = time.monotonic() + CHURN_SECONDS
        while time.monotonic() < deadline:
            shop.start()
            newest = shop.running[-1]
            until(lambda: shop.serves(newest), 60)  # noqa: B023 - it is of this round
            number, oldest = next(ends), shop.running.pop(0)
            if number == signal.SIGKILL:
                killed[f"shop-{oldest.name}-"] = time.monotonic()
            status = oldest.end(number)
            assert status == (128 + number if number == signal.SIGTERM else -number)
            ended[number] += 1

    times = Counter((method, path) for method, path, _ in shop.begun())
    of_whom = {path: workload for method, path, workload in shop.begun() if method == "POST"}
    print(f"ended {dict(ended)}; {gets.served} GETs and {posts.served} POSTs served, ", end="")
    print(f"{len(posts.failures)} POSTs lost: {Counter(posts.failures)}")
    assert gets.failures == []
    for path, (began, over) in shop.lost.items():
        at = [when for when in killed.values() if began - DYING_SECONDS <= when <= over]
        assert at, f"{path} was lost when nobody was killed"
        # What was written to the app, and not read when it died, is in no ledger.
        whose = of_whom.get(path)
        assert whose is None or whose.startswith(tuple(killed)), f"{path} was lost by {whose}"
    assert [path for (method, path), n in times.items() if method == "POST" and n > 1] == []
    assert min(ended.values()) >= 3
    assert posts.served > 0.9 * POSTS_PER_SECOND * CHURN_SECONDS
