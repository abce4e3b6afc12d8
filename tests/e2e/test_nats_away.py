"""NATS refuses or hangs, proxies die, a leader freezes: traffic goes on, and then all follows."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.mesh import ECHO, Mesh, Reply, Running, until
from tests.support.processes import stopped
from tests.support.steady_traffic import steady_traffic
from tulle.actors.proxy.spec import actor_name
from tulle.deploy.demo.actors import kill, nats_pid, pid_of
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

PER_SECOND = 25.0
LONG = 60.0
BRIEF = 5.0
BACK_SECONDS = 10.0
"""For an actor that was killed to serve again; the holder's patience is as long."""
FOLLOWS_SECONDS = 15.0
SENT_SECONDS = 1.5
"""Until what was counted has left the proxies, who may be killed then."""
SETTLED_SECONDS = 7.0
"""Longer than a lease lasts: who would expire after NATS is back has done so."""

POLICY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: calm}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [calm.test]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: calm}
spec:
  hosts: [calm.test]
  gateways: [calm]
  http:
  - {headers: {response: {set: {x-change: "N"}}}, route: [{destination: {host: calm}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: calm}
spec:
  selector: {matchLabels: {app: calm}}
  action: DENY
  rules: [{to: [{operation: {paths: ["/secret"]}}]}]
"""
CALL = "/call?url=http://idle:9080/"
"""Has `calm` ask the other service, through the way out of its own sidecar."""
COUNTED = re.compile(
    r'^istio_requests_total\{(?=.*reporter="source")(?=.*destination_service_name="calm")'
    r'(?=.*response_code="200").*\} ([0-9.e+]+)$',
    re.M,
)


def policy(change: int) -> str:
    return POLICY.replace('"N"', f'"{change}"')


@pytest.fixture(scope="module")
def calm(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh with three workloads of `calm` behind the gateway, and one of another service."""
    apps = [start(mesh, name) for name in ("calm-a", "calm-b", "calm-c", "idle-a")]
    until(lambda: list(states(mesh).values()) == ["ready"] * len(apps), 60)
    mesh.apply(policy(0))
    until(lambda: mesh.get("/", "calm.test").status == 200, 10)
    # Each has used the other service: its sidecar holds that host from now on.
    for _ in range(40):
        assert mesh.get(CALL, "calm.test").status == 200
    yield mesh
    mesh.succeed("delete", "--wait", "-f", "-", text=policy(0))
    for app in apps:
        app.process.terminate()
    for app in apps:
        app.end()


def start(mesh: Mesh, name: str) -> Running:
    service, _, version = name.partition("-")
    command = ("--port", "0:9080", "--version", version, "--", sys.executable, str(ECHO), service)
    app = mesh.start(name, "run", service, *command)
    mesh.apps.append(app)
    return app


def states(mesh: Mesh) -> dict[str, str]:
    """State by id of the workloads of this module."""
    return {it.id: it.state for name in ("calm", "idle") for it in mesh.workloads(name)}


@dataclass
class Visits:
    """Requests to `calm`, which count what was served as the gateway should."""

    mesh: Mesh
    served: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, path: str = "/") -> Reply:
        reply = self.mesh.get(path, "calm.test")
        with self._lock:
            self.served += reply.status == 200
        return reply

    def serves(self) -> bool:
        """The workloads do, and by the policies: a forgotten one would let /secret pass."""
        paths = ("/", "/", "/", CALL, CALL, CALL, "/secret", "/secret")
        return [self.get(path).status for path in paths] == [200] * 6 + [403] * 2

    def change(self) -> str:
        """Which of the policies is in force."""
        return self.get().headers.get("x-change", "")

    def until_counted(self, before: float) -> None:
        """All that was served is in the metrics, and no more."""
        until(lambda: counted(self.mesh) >= before + self.served, 10)
        assert counted(self.mesh) == before + self.served


def home_of(mesh: Mesh) -> Home:
    return Home(mesh.home / "default")


def nats_of(mesh: Mesh) -> int:
    pid = nats_pid(home_of(mesh))
    assert pid is not None
    return pid


def counted(mesh: Mesh) -> float:
    """Requests that the gateways say were served."""
    return sum(map(float, COUNTED.findall(mesh.metrics())))


def follows(visits: Visits, number: int) -> float:
    """A policy is applied at once and arrives everywhere; the seconds that it took."""
    mesh, began = visits.mesh, time.monotonic()
    mesh.succeed(
        "apply", "--wait", "--timeout", f"{FOLLOWS_SECONDS:.0f}", "-f", "-", text=policy(number)
    )
    took = time.monotonic() - began
    assert visits.change() == str(number)
    until(lambda: all(p.current and p.state == "ready" for p in mesh.status().proxies), 5)
    return took


def nobody_expires(mesh: Mesh, back: float, but: str = "") -> None:
    """Nobody is taken for dead for having been silent while nobody could be heard.

    `back`: since when NATS is there again. `but`: who has left meanwhile, and is found out: it is
    no endpoint any more.
    """
    while True:
        now = states(mesh)
        left = now.pop(but, "") != "ready"
        assert set(now.values()) == {"ready"}, now
        if left and time.monotonic() > back + SETTLED_SECONDS:
            return
        assert time.monotonic() < back + SETTLED_SECONDS + FOLLOWS_SECONDS
        time.sleep(0.2)


def killed(mesh: Mesh, proxy: str) -> float:
    """kill -9 of a proxy; the seconds until it serves again by what it had."""
    lives, began = lives_without_bus(mesh, proxy), time.monotonic()
    kill(home_of(mesh), actor_name(proxy))
    until(lambda: lives_without_bus(mesh, proxy) > lives, BACK_SECONDS)
    return time.monotonic() - began


def lives_without_bus(mesh: Mesh, proxy: str) -> int:
    log = home_of(mesh).logs / f"{actor_name(proxy)}.log"
    return log.read_text().count("serving by the last good config")


def test_hanging_for_five_seconds_and_then_the_leading_evaluator(calm: Mesh) -> None:
    visits = Visits(calm)
    time.sleep(SENT_SECONDS)
    before = counted(calm)
    with steady_traffic(visits.get, PER_SECOND) as seen:
        with stopped(nats_of(calm)):
            time.sleep(BRIEF)
        back = time.monotonic()
        took = follows(visits, 1)
        first = calm.status().leader
        pid = pid_of(home_of(calm), first)
        assert pid is not None
        with stopped(pid):
            took_frozen = follows(visits, 2)
            second = calm.status().leader
            assert second != first
        assert follows(visits, 3) < FOLLOWS_SECONDS
        assert calm.status().leader == second
        assert pid_of(home_of(calm), first) == pid, "it has woken, and follows"
        nobody_expires(calm, back)
    print(
        f"NATS hung for {BRIEF:.0f} s: a policy had arrived {took:.1f} s later; one that was "
        f"applied to a frozen leader had arrived in {took_frozen:.1f} s"
    )
    assert seen.failures == []
    visits.until_counted(before)


def test_refusing_while_a_sidecar_is_killed(calm: Mesh) -> None:
    """The watcher, which would start NATS again, is held up meanwhile."""
    visits = Visits(calm)
    sidecar = min(states(calm))
    nats = nats_of(calm)
    time.sleep(SENT_SECONDS)
    before = counted(calm)
    with steady_traffic(visits.get, PER_SECOND) as seen:
        with stopped(calm.up.process.pid):
            os.kill(nats, signal.SIGKILL)
            sidecar_back = killed(calm, sidecar)
            until(visits.serves, BACK_SECONDS)
        until(lambda: nats_pid(home_of(calm)) not in (None, nats), 20)
        back = time.monotonic()
        took = follows(visits, 4)
        nobody_expires(calm, back)
    print(
        f"NATS refused: a sidecar was back in {sidecar_back:.1f} s; a policy had arrived "
        f"{took:.1f} s after NATS was back"
    )
    assert seen.failures == []
    visits.until_counted(before)


def test_hanging_for_a_minute_while_proxies_are_killed_and_a_workload_leaves(calm: Mesh) -> None:
    visits = Visits(calm)
    leaves = next(app for app in calm.apps if app.name == "calm-c")
    (left,) = (id for id in states(calm) if id.startswith("calm-c-"))
    sidecar = min(states(calm))
    gateway = calm.proxies("gateway")[0].id
    time.sleep(SENT_SECONDS)
    before = counted(calm)
    with stopped(nats_of(calm)):
        began = time.monotonic()
        gateway_back = killed(calm, gateway)
        until(visits.serves, BACK_SECONDS)
        with steady_traffic(visits.get, PER_SECOND) as seen:
            sidecar_back = killed(calm, sidecar)
            until(visits.serves, BACK_SECONDS)
            assert leaves.end() == 128 + signal.SIGTERM  # the app's
            until(visits.serves, BACK_SECONDS)
            while time.monotonic() < began + LONG:
                time.sleep(0.2)
        assert seen.failures == []
    back = time.monotonic()
    took = follows(visits, 5)
    with steady_traffic(visits.get, PER_SECOND) as then:
        nobody_expires(calm, back, but=left)
    print(
        f"NATS hung for {LONG:.0f} s: a gateway was back in {gateway_back:.1f} s, a sidecar in "
        f"{sidecar_back:.1f} s; a policy had arrived {took:.1f} s after NATS was back"
    )
    assert then.failures == []
    visits.until_counted(before)
