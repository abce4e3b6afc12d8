"""kill -9 of every kind of actor and of nats-server, at random moments, under traffic.

A gateway and a caller's sidecar take with them what is in flight in them, and nothing else fails.
TULLE_TEST_SEED repeats the order and the moments of a run that printed it.
"""

import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.support import victims
from tests.support.mesh import Mesh, until
from tests.support.outage import Request, Traffic, from_caller, to_ingress
from tests.support.victims import Death, Victim

pytestmark = pytest.mark.timeout(300)

ROUNDS = 20
PER_SECOND = 25.0
TARGET_SECONDS = 3.0
HARD_LIMIT_SECONDS = 10.0
MOMENT_SECONDS = 1.0
"""The kill falls into this time, as does all that a `tulle apply` does."""

APP_SECONDS = 0.1  # so that some requests are in flight at each kill
POLICY = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: kills}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*.kills.test"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: kills}}
spec:
  hosts: [app.kills.test, kills]
  gateways: [kills, mesh]
  http: [{{rewrite: {{uri: /slow/{APP_SECONDS}}}, route: [{{destination: {{host: kills}}}}]}}]
"""
OF_ROUND = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: kills-{number}}}
spec:
  hosts: [n{number}.kills.test]
  gateways: [kills]
  http: [{{directResponse: {{status: 200, body: {{string: "{number}"}}}}}}]
"""


@dataclass(frozen=True)
class Stricken:
    """A mesh under traffic, and who in it may be killed."""

    mesh: Mesh
    streams: Sequence[Traffic]
    kinds: Sequence[Victim]


@dataclass
class Story:
    """What happened, and what was acknowledged meanwhile."""

    deaths: list[Death] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def stricken(mesh: Mesh) -> Iterator[Stricken]:
    app = mesh.run("kills")
    mesh.apply(POLICY)
    with ExitStack() as stack:
        inside = stack.enter_context(from_caller(mesh, "kills:9080", PER_SECOND))
        outside = stack.enter_context(to_ingress(mesh, "app.kills.test", PER_SECOND))
        until(lambda: len(outside.served_after(0)) > 10, 30)
        yield Stricken(mesh, (outside, inside), _kinds(mesh, outside, inside))
    # The mesh is everybody's: no Gateway is left.
    app.end()
    mesh.apps.remove(app)
    names = [f"kills-{number}" for number in range(ROUNDS)]
    for document in ("gw kills", "vs kills", *(f"vs {name}" for name in names)):
        mesh.tulle("delete", *document.split())


def _kinds(mesh: Mesh, outside: Traffic, inside: Traffic) -> list[Victim]:
    limit = HARD_LIMIT_SECONDS
    [gateway] = [one.id for one in mesh.proxies("gateway")]
    sidecars = {one.service: one.id for one in mesh.proxies("sidecar")}
    served, caller = sidecars["kills"], sidecars["caller"]
    return [
        victims.proxy(mesh, "sidecar", served, inside, frozenset(), limit),
        victims.proxy(mesh, "caller's sidecar", caller, inside, frozenset({inside.name}), limit),
        victims.proxy(mesh, "gateway", gateway, outside, frozenset({outside.name}), limit),
        victims.leading_evaluator(mesh, limit),
        victims.authority(mesh, limit),
        victims.collector(mesh, limit),
        victims.supervisor(mesh, limit),
        victims.nats_server(mesh, limit),
    ]


def test_whoever_is_killed_only_what_was_in_flight_in_it_is_lost(stricken: Stricken) -> None:
    mesh, streams = stricken.mesh, stricken.streams
    seed = os.environ.get("TULLE_TEST_SEED") or secrets.token_hex(4)
    print(f"TULLE_TEST_SEED={seed}")
    chance, story = random.Random(seed), Story()
    workloads, began = mesh.workloads("kills"), time.monotonic()

    for number, victim in enumerate(_order(stricken.kinds, chance)):
        _round(mesh, number, victim, chance.uniform(0, MOMENT_SECONDS), story)
    calm = time.monotonic()
    until(lambda: all(len(one.served_after(calm)) > PER_SECOND for one in streams), 15)

    failed = [(one.name, request) for one in streams for request in one.failed(began)]
    _tell(story, streams, failed)
    assert [
        one for one in failed if not any(_died_with(*one, death) for death in story.deaths)
    ] == []
    assert [one for one in failed if one[1].problem not in ("ConnectionResetError", "cut")] == []
    assert all(death.seconds < HARD_LIMIT_SECONDS for death in story.deaths)
    # What was in flight in the server's sidecar went again, by way of its callers' proxies.
    assert sum(_crossed(streams, death) for death in story.deaths if death.kind == "sidecar") > 0
    # All that was acknowledged is there.
    stored = mesh.succeed("get", "virtualservices").split()
    assert [n for n in story.acknowledged if f"kills-{n}" not in stored] == []
    assert [n for n in story.acknowledged if not _in_effect(mesh, n)] == []
    assert len(story.acknowledged) >= ROUNDS - 2, story.refused
    assert mesh.workloads("kills") == workloads
    until(lambda: all(proxy.current for proxy in mesh.status().proxies), 5)


def _order(kinds: Sequence[Victim], chance: random.Random) -> list[Victim]:
    """Each kind as often as the others, or once more, in any order."""
    order: list[Victim] = []
    while len(order) < ROUNDS:
        order += chance.sample(kinds, min(len(kinds), ROUNDS - len(order)))
    return order


def _round(mesh: Mesh, number: int, victim: Victim, moment: float, story: Story) -> None:
    """A policy is applied, and somewhere in the middle of that somebody dies."""
    with ThreadPoolExecutor(1) as threads:
        policy = OF_ROUND.format(number=number)
        applying = threads.submit(mesh.tulle, "apply", "-f", "-", text=policy)
        time.sleep(moment)  # any moment will do
        story.deaths.append(victims.kill(victim, HARD_LIMIT_SECONDS))
        applied = applying.result()
    if applied.returncode == 0:
        story.acknowledged.append(number)
        until(lambda: _in_effect(mesh, number), HARD_LIMIT_SECONDS)
    else:
        story.refused.append(f"{victim.kind}: {applied.stderr}")


def _in_effect(mesh: Mesh, number: int) -> bool:
    reply = mesh.get("/", f"n{number}.kills.test")
    return (reply.status, reply.body) == (200, str(number).encode())


def _died_with(stream: str, request: Request, death: Death) -> bool:
    """Whether the request was in flight in the proxy that was killed."""
    return stream in death.loses and request.began <= death.gone and request.ended >= death.killed


def _crossed(streams: Sequence[Traffic], death: Death) -> int:
    """Requests that were under way at the moment of the kill, and were served all the same."""
    requests = [request for one in streams for request in one.requests() if not request.problem]
    return sum(one.began < death.killed < one.ended for one in requests)


def _tell(story: Story, streams: Sequence[Traffic], failed: list[tuple[str, Request]]) -> None:
    for number, death in enumerate(story.deaths):
        lost = Counter(f"{n} {r.problem}" for n, r in failed if _died_with(n, r, death))
        late = "" if death.seconds <= TARGET_SECONDS else f", over {TARGET_SECONDS:.0f} s"
        print(
            f"{number:2} {death.kind:17} back after {death.seconds:.2f} s{late}; "
            f"{_crossed(streams, death)} served that were under way, lost: {dict(lost) or 'none'}"
        )
    sent = sum(len(one.requests()) for one in streams)
    print(f"{sent} requests, {len(failed)} lost; {len(story.acknowledged)} of {ROUNDS} applied")
    for sentence in story.refused:
        print(sentence)
