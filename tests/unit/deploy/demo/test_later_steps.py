"""Steps 4 to 6 on a mesh that answers as it is told: a check that sees what is wrong fails."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tulle.bus.messages import ServiceRecord, Workload
from tulle.deploy.demo import probes
from tulle.deploy.demo.bookstore import Bookstore
from tulle.deploy.demo.checks import Checks
from tulle.deploy.demo.pages import Page
from tulle.deploy.demo.probes import Asked
from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.steps import authorization, faults, plain
from tulle.deploy.demo.traffic import Traffic

PARTS = {name: ("v3", f"{name}-v3-abcde") for name in ("productpage", "details", "reviews")}
WHOLE = Page(0.0, 0.1, 200, "", {**PARTS, "ratings": ("v1", "ratings-v1-abcde")})
WITHOUT_RATINGS = Page(0.0, 0.1, 200, faults.ABORTED, PARTS)
WITHOUT_REVIEWS = Page(
    0.0, 3.1, 200, faults.TIMED_OUT, {n: PARTS[n] for n in ("productpage", "details")}
)
OPEN = Asked(200, "")


@dataclass
class Mesh:
    """Stands for the bookstore: what was asked of it, in order."""

    calls: list[str] = field(default_factory=list)
    visit: Callable[[list[str]], Asked] = lambda calls: OPEN

    async def apply_policy(self, name: str) -> None:
        self.calls.append(name)

    async def delete_policy(self, kind: str, name: str) -> None:
        self.calls.append(f"delete {name}")

    async def services(self) -> SimpleNamespace:
        workload = Workload(id="details-v1-abcde", account="details", address="", ports={9080: 1})
        return SimpleNamespace(
            services=[ServiceRecord(namespace="default", name="details", workloads=[workload])]
        )

    async def tulle(self, *arguments: str) -> str:
        asked = self.visit(self.calls)
        body = "details-viewer" if asked.status == 403 else "a book"
        return json.dumps({"status": asked.status, "reason": asked.reason, "body": body})


@dataclass(frozen=True, slots=True)
class Scene(Stage):
    """A stage whose pages are the test's: `jason` by the policy that was applied last."""

    jason: Mapping[str, list[Page]] = field(default_factory=dict)

    async def judged(self, rate: float, headers: Mapping[str, str], count: int) -> list[Page]:
        return self.jason[cast(Any, self.store).calls[-1]]

    async def pages(self, count: int) -> list[Page]:
        return [WHOLE] * count


class NoTraffic:
    def now(self) -> float:
        return 0.0

    def since(self, moment: float) -> list[Page]:
        return [WHOLE]

    async def settled(self) -> None:
        pass


def scene(mesh: Mesh, jason: Mapping[str, list[Page]] | None = None) -> Scene:
    store, traffic = cast(Bookstore, mesh), cast(Traffic, NoTraffic())
    return Scene(0, store, traffic, [], Checks(), jason or {})


def failed(stage: Stage) -> list[str]:
    return [check.name for check in stage.checks.done if not check.ok]


JASON = {
    "ratings-delay.yaml": [WITHOUT_REVIEWS] * 15,
    "ratings-abort.yaml": [WITHOUT_RATINGS, WHOLE] * 50,
    "delete ratings": [WHOLE] * 100,
}
LATE = Page(0.0, 3.6, 200, faults.TIMED_OUT, WITHOUT_REVIEWS.parts)


@pytest.mark.asyncio
async def test_faults_as_they_should_be() -> None:
    stage = scene(Mesh(), JASON)
    await faults.run(stage)
    assert failed(stage) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("when", "pages", "check"),
    [
        ("ratings-delay.yaml", [LATE], "ratings 7 s late for jason, reviews cut at 3 s"),
        ("ratings-delay.yaml", [WHOLE], "ratings 7 s late for jason, reviews cut at 3 s"),
        ("ratings-abort.yaml", [WHOLE] * 100, "ratings aborted for half of jason's"),
        ("ratings-abort.yaml", [WITHOUT_REVIEWS] * 100, "ratings aborted for half of jason's"),
        ("ratings-abort.yaml", [], "ratings aborted for half of jason's"),
        ("delete ratings", [WITHOUT_RATINGS], "tulle delete virtualservice ratings"),
    ],
    ids=["too late", "not delayed", "not aborted", "aborted elsewhere", "nothing seen", "stays"],
)
async def test_a_fault_that_is_not_as_said(when: str, pages: list[Page], check: str) -> None:
    stage = scene(Mesh(), JASON | {when: pages})
    await faults.run(stage)
    assert failed(stage) == [check]


def answering(
    monkeypatch: pytest.MonkeyPatch, mesh: Mesh, answers: Mapping[str, Asked], first: Asked
) -> None:
    """The inbound port answers by the policy that was applied last."""

    def ask(address: str, port: int, path: str) -> Asked:
        return answers[mesh.calls[-1]] if mesh.calls else first

    monkeypatch.setattr(probes, "ask_plainly", ask)


AS_SAID = {
    "permissive.yaml": plain.LET_IN,
    "details-viewer.yaml": plain.DENIED,
    "strict.yaml": plain.CLOSED,
}


@pytest.mark.asyncio
async def test_permissive_and_strict_as_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh()
    answering(monkeypatch, mesh, AS_SAID, plain.CLOSED)
    stage = scene(mesh)
    await plain.run(stage)
    assert failed(stage) == []
    assert mesh.calls[-1] == "delete default"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("when", "answer"),
    [
        ("permissive.yaml", plain.CLOSED),
        ("details-viewer.yaml", plain.LET_IN),
        ("strict.yaml", plain.LET_IN),
    ],
)
async def test_a_plain_client_that_is_met_otherwise(
    when: str, answer: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = Mesh()
    answering(monkeypatch, mesh, AS_SAID | {when: answer}, plain.CLOSED)
    stage = scene(mesh)
    await plain.run(stage)
    assert len(failed(stage)) == 1


def only_productpage(calls: list[str]) -> Asked:
    return authorization.DENIED if calls[-1:] == ["details-viewer.yaml"] else OPEN


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("visit", "wrong"),
    [
        (only_productpage, []),
        (lambda calls: OPEN, ["only productpage may: another identity"]),
        (
            lambda calls: authorization.DENIED if calls else OPEN,
            ["tulle delete: another identity"],
        ),
        (lambda calls: Asked(503, "no_endpoints"), None),
    ],
    ids=["as it should be", "never denied", "stays denied", "cannot reach it"],
)
async def test_only_productpage_may_call_details(
    visit: Callable[[list[str]], Asked], wrong: list[str] | None
) -> None:
    stage = scene(Mesh(visit=visit))
    await authorization.run(stage)
    assert failed(stage) == wrong or (wrong is None and len(failed(stage)) == 3)
