"""NATS lost its store, or has an older copy of it: everything follows, and nobody goes on ahead.

Twice each: beneath a mesh that lives, whose proxies are ahead of what the store says then, and
between a `tulle down` and the next `tulle up`, which only `tulle run` outlives.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mesh import FREE_PORTS, Mesh, until
from tests.support.outage import Traffic, free_port, from_caller, to_ingress
from tulle.actors.supervisor.orphans import ORPHANED_SECONDS
from tulle.deploy.home import Home

pytestmark = pytest.mark.timeout(240)

FOLLOW_SECONDS = 45.0
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
  http:
  - route: [{destination: {host: shop}}]
    headers: {response: {set: {x-version: VERSION}}}
"""


@dataclass
class Store:
    """The mesh's NATS store, an older copy of it, and how either gets lost."""

    mesh: Mesh
    folder: Path
    copy: Path

    def save(self) -> None:
        """Takes the copy, while the server stands still."""
        server = Home(self.mesh.home / "default").children().processes["nats"].pid
        os.kill(server, signal.SIGSTOP)
        try:
            shutil.copytree(self.folder, self.copy)
        finally:
            os.kill(server, signal.SIGCONT)

    def lose(self) -> None:
        shutil.rmtree(self.folder)

    def restore(self) -> None:
        self.lose()
        shutil.copytree(self.copy, self.folder)

    def beneath_the_living(self, change: Callable[[], None]) -> None:
        """The server dies, and is started again by the watcher on another store."""
        children = Home(self.mesh.home / "default").children()
        watcher, before = self.mesh.up.process.pid, children.processes["nats"]
        os.kill(watcher, signal.SIGSTOP)
        try:
            os.kill(before.pid, signal.SIGKILL)
            change()
        finally:
            os.kill(watcher, signal.SIGCONT)
        until(lambda: nats(self.mesh) != before, 20)

    def between_down_and_up(self, change: Callable[[], None]) -> None:
        self.mesh.succeed("down")
        assert self.mesh.up.process.wait(30) == 0
        change()
        self.mesh.up = self.mesh.start("up-again", "up", *FREE_PORTS, *self.mesh.options)
        until(Home(self.mesh.home / "default").mesh_file.exists, 60)


def nats(mesh: Mesh) -> object:
    return Home(mesh.home / "default").children().processes["nats"]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """On ports that the next `tulle up` takes again; `late` is not in the copy of the store."""
    ports = ("--ingress-port", str(free_port()), "--http-port", str(free_port()))
    with Mesh(options=ports) as mesh:
        mesh.run("shop", "--version", "v1")
        apply(mesh, "old")
        yield mesh


@pytest.fixture(scope="module")
def store(mesh: Mesh) -> Store:
    folder = mesh.home / "default/nats/store"
    store = Store(mesh, folder, mesh.home / "copy")
    store.save()
    mesh.run("late")
    apply(mesh, "new")
    return store


@pytest.fixture(scope="module")
def inside(mesh: Mesh, store: Store) -> Iterator[Traffic]:
    """Traffic between workloads, all the time."""
    with from_caller(mesh, "shop:9080") as traffic:
        yield traffic


def apply(mesh: Mesh, version: str) -> None:
    mesh.apply(POLICY.replace("VERSION", version))


def version(mesh: Mesh) -> str:
    """What the ingress gateway's route says, if it has one."""
    return mesh.get("/", "shop.test").headers.get("x-version", "")


def epoch(mesh: Mesh) -> str:
    revision = mesh.status().revision
    assert revision is not None
    return revision.epoch


def ids(mesh: Mesh) -> list[str]:
    return [one.id for name in ("shop", "late", "caller") for one in mesh.workloads(name)]


def until_all_follow(mesh: Mesh, ids_before: list[str]) -> None:
    """All workloads are endpoints, under their ids, and all proxies have what the store says."""

    def followed() -> bool:
        workloads = [one for name in ("shop", "late", "caller") for one in mesh.workloads(name)]
        ready = [one.id for one in workloads if one.state == "ready"]
        proxies = {one.id: one.current for one in mesh.status().proxies}
        return ready == ids_before and all(proxies.get(id) for id in ready)

    until(followed, FOLLOW_SECONDS)


def test_living_proxies_follow_an_older_copy(mesh: Mesh, store: Store, inside: Traffic) -> None:
    before, was, gateways = ids(mesh), epoch(mesh), [one.id for one in mesh.proxies("gateway")]
    for number in range(3):
        apply(mesh, f"newer-{number}")
    with to_ingress(mesh, "shop.test") as outside:
        until(lambda: len(outside.served_after(0)) > 10, 10)
        began = time.monotonic()
        store.beneath_the_living(store.restore)
        until(lambda: version(mesh) == "old", FOLLOW_SECONDS)
        print(f"an older copy: the gateway follows after {time.monotonic() - began:.1f} s")
        until_all_follow(mesh, before)
        print(f"an older copy: all follow after {time.monotonic() - began:.1f} s")
        assert epoch(mesh) != was
        assert [one.id for one in mesh.proxies("gateway")] == gateways, "none was started again"
        apply(mesh, "newest")
        assert version(mesh) == "newest"
    assert outside.failed() == inside.failed() == []


def test_living_proxies_follow_an_empty_store(mesh: Mesh, store: Store, inside: Traffic) -> None:
    before, was = ids(mesh), epoch(mesh)
    began = time.monotonic()
    store.beneath_the_living(store.lose)
    until_all_follow(mesh, before)
    print(f"an empty store: all follow after {time.monotonic() - began:.1f} s")
    assert epoch(mesh) != was
    until(lambda: version(mesh) == "", FOLLOW_SECONDS)
    apply(mesh, "anew")
    assert version(mesh) == "anew"
    after = time.monotonic()
    # The pool was made anew: who was in it before serves on, until nobody comes for it.
    assert len(mesh.proxies("gateway")) == 2
    with to_ingress(mesh, "shop.test") as outside:
        until(lambda: len(mesh.proxies("gateway")) == 1, ORPHANED_SECONDS + 20)
    assert outside.failed() == inside.failed(after=after) == []


@pytest.mark.parametrize("lost", ["an empty store", "an older copy"])
def test_a_mesh_that_is_started_again_follows(
    mesh: Mesh, store: Store, inside: Traffic, lost: str
) -> None:
    before, was = ids(mesh), epoch(mesh)
    began = time.monotonic()
    store.between_down_and_up(store.lose if lost == "an empty store" else store.restore)
    until_all_follow(mesh, before)
    print(f"down, {lost}, up: all follow after {time.monotonic() - began:.1f} s")
    assert epoch(mesh) != was
    until(lambda: version(mesh) == ("" if lost == "an empty store" else "old"), FOLLOW_SECONDS)
    apply(mesh, "anew")
    assert version(mesh) == "anew"
    after = time.monotonic()
    until(lambda: len(inside.served_after(after)) > 20, 10)
    assert inside.failed(after=after) == []
    assert [one for one in inside.failed() if one.problem == "refused"] == []
