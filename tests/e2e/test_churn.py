"""Workloads that come and go under traffic: SIGTERM of `tulle run` loses no request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.support.mesh import Mesh, Reply, until

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
PAUSE_SECONDS = 0.02


@dataclass
class Traffic:
    """What came of the requests so far."""

    served: int = 0
    failures: list[str] = field(default_factory=list)

    def judge(self, reply: Reply) -> None:
        """Counts an answer: 200 of the app, or a failure."""
        if reply.status == 200 and reply.json["name"] == "shop":
            self.served += 1
        else:
            self.failures.append(f"{reply.status} {reply.headers.get('x-tulle-reason')}")


@contextmanager
def traffic(mesh: Mesh) -> Iterator[Traffic]:
    """Requests to the ingress, one after the other, until the block ends."""
    seen, stop = Traffic(), threading.Event()

    def send() -> None:
        while not stop.wait(PAUSE_SECONDS):
            try:
                seen.judge(mesh.get("/", "shop.test"))
            except OSError as error:
                seen.failures.append(repr(error))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def more(seen: Traffic, requests: int) -> None:
    """Returns when that many more were served, or any failed."""
    enough = seen.served + requests
    until(lambda: seen.served >= enough or bool(seen.failures), 30)


def test_sigterm_of_run_loses_no_request(mesh: Mesh) -> None:
    first = mesh.run("shop", "--version", "v1")
    mesh.apply(POLICY)
    until(lambda: mesh.get("/", "shop.test").status == 200, 10)

    with traffic(mesh) as seen:
        for _ in range(2):
            second = mesh.run("shop", "--version", "v1")
            more(seen, 100)
            began = time.monotonic()
            first.end()
            assert time.monotonic() - began < 15
            more(seen, 100)
            first = second

    assert seen.failures == []
    assert seen.served >= 400
    assert [workload.state for workload in mesh.workloads("shop")] == ["ready"]
    # The mesh is everybody's: no Gateway is left.
    first.end()
    mesh.succeed("delete", "--wait", "gw", "shop")
    mesh.succeed("delete", "--wait", "vs", "shop")
