"""NATS refuses or hangs, proxies die, leaders freeze: traffic goes on, and then all follows."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support.actor_pids import kill, pid_of, stopped
from tests.support.mesh import Mesh, Reply, until
from tests.support.steady_traffic import steady_traffic
from tulle.actors.proxy.spec import actor_name
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
    """The mesh with two workloads of `calm` behind the gateway, and one of another service."""
    apps = [mesh.run("calm"), mesh.run("calm"), mesh.run("idle")]
    mesh.apply(policy(0))
    until(lambda: mesh.get("/", "calm.test").status == 200, 10)
    use_all(mesh)
    yield mesh
    for kind, name in (("gw", "calm"), ("vs", "calm"), ("AuthorizationPolicy", "calm")):
        mesh.succeed("delete", "--wait", kind, name)
    for app in apps:
        app.end()


def use_all(mesh: Mesh) -> None:
    """Each workload of `calm` uses the other service: its sidecar holds that host from now on."""
    for _ in range(20):
        assert mesh.get(CALL, "calm.test").status == 200


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
        """Both workloads do, and by the policies: a forgotten one would let /secret pass."""
        paths = ("/", "/", CALL, CALL, "/secret", "/secret")
        return [self.get(path).status for path in paths] == [200, 200, 200, 200, 403, 403]

    def change(self) -> str:
        """Which of the policies is in force."""
        return self.get().headers.get("x-change", "")

    def until_counted(self, before: float) -> None:
        """All that was served is in the metrics, and no more."""
        until(lambda: counted(self.mesh) >= before + self.served, 10)
        assert counted(self.mesh) == before + self.served


def nats_of(mesh: Mesh) -> int:
    return Home(mesh.home / "default").children().processes["nats"].pid


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


def nobody_expires(mesh: Mesh, but: str = "") -> None:
    """Nobody is taken for dead for having been silent while nobody could be heard.

    `but`: who has left meanwhile, and is found out: it is no endpoint any more.
    """
    end = time.monotonic() + SETTLED_SECONDS
    while True:
        workloads = [it for name in ("calm", "idle") for it in mesh.workloads(name)]
        assert [it.state for it in workloads if it.id != but] == ["ready", "ready", "ready"]
        left = but not in {it.id for it in workloads if it.state == "ready"}
        if time.monotonic() > end and left:
            return
        assert time.monotonic() < end + FOLLOWS_SECONDS
        time.sleep(0.2)


def killed(mesh: Mesh, proxy: str) -> float:
    """kill -9 of a proxy; the seconds until it serves again by what it had."""
    lives, began = lives_without_bus(mesh, proxy), time.monotonic()
    kill(mesh.home, actor_name(proxy))
    until(lambda: lives_without_bus(mesh, proxy) > lives, BACK_SECONDS)
    return time.monotonic() - began


def lives_without_bus(mesh: Mesh, proxy: str) -> int:
    log = mesh.home / "default" / "logs" / f"{actor_name(proxy)}.log"
    return log.read_text().count("serving by the last good config")


def test_hanging_for_five_seconds(calm: Mesh) -> None:
    visits = Visits(calm)
    time.sleep(SENT_SECONDS)
    before = counted(calm)
    with steady_traffic(visits.get, PER_SECOND) as seen:
        with stopped(nats_of(calm)):
            time.sleep(BRIEF)
        took = follows(visits, 1)
        nobody_expires(calm)
    print(f"NATS hung for {BRIEF:.0f} s: a policy had arrived {took:.1f} s later")
    assert seen.failures == []
    visits.until_counted(before)


def test_refusing_while_a_sidecar_is_killed(calm: Mesh) -> None:
    """The watcher, which would start NATS again, is held up meanwhile."""
    visits = Visits(calm)
    sidecar = calm.workloads("calm")[0].id
    home = Home(calm.home / "default")
    nats = nats_of(calm)
    time.sleep(SENT_SECONDS)
    before = counted(calm)
    with steady_traffic(visits.get, PER_SECOND) as seen:
        with stopped(calm.up.process.pid):
            os.kill(nats, signal.SIGKILL)
            back = killed(calm, sidecar)
            until(visits.serves, BACK_SECONDS)
        until(lambda: home.children().processes["nats"].pid != nats, 20)
        took = follows(visits, 2)
        nobody_expires(calm)
    print(f"NATS refused: a sidecar was back in {back:.1f} s; a policy had arrived in {took:.1f} s")
    assert seen.failures == []
    visits.until_counted(before)


def test_hanging_for_a_minute_while_a_gateway_and_a_sidecar_are_killed(calm: Mesh) -> None:
    visits = Visits(calm)
    stay = {it.id for it in calm.workloads("calm")}
    leaves = calm.run("calm")
    (left,) = {it.id for it in calm.workloads("calm")} - stay
    use_all(calm)
    sidecar = min(stay)
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
            while time.monotonic() < began + LONG:
                time.sleep(0.2)
        assert seen.failures == []
    took = follows(visits, 3)
    with steady_traffic(visits.get, PER_SECOND) as then:
        nobody_expires(calm, but=left)
    print(
        f"NATS hung for {LONG:.0f} s: a gateway was back in {gateway_back:.1f} s, a sidecar in "
        f"{sidecar_back:.1f} s; a policy had arrived {took:.1f} s after NATS was back"
    )
    assert then.failures == []
    visits.until_counted(before)


def test_a_frozen_leader_of_the_evaluators_is_replaced(calm: Mesh) -> None:
    visits = Visits(calm)
    first = calm.status().leader
    pid = pid_of(calm.home, first)
    assert pid is not None
    with steady_traffic(visits.get, PER_SECOND) as seen:
        with stopped(pid):
            took = follows(visits, 4)
            second = calm.status().leader
            assert second != first
        assert follows(visits, 5) < FOLLOWS_SECONDS
        assert calm.status().leader == second
        assert pid_of(calm.home, first) == pid
    print(f"a policy that was applied to a frozen leader had arrived in {took:.1f} s")
    assert seen.failures == []
