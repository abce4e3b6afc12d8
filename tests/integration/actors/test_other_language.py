"""The policy API from JavaScript: NATS, the operator's credentials and JSON are all it takes."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.awaiting import until
from tests.support.control import control_spec
from tests.support.nats import BusUnderTest, serve_bus
from tests.support.policies_api import PolicyClient
from tulle.actors.evaluator.actor import EvaluatorActor
from tulle.bus.permissions import Role
from tulle.bus.subjects import Bucket

CLIENT = Path(__file__).resolve().parents[2] / "support" / "nats_client.mjs"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
]

MISTAKEN = """\
# Two mistakes, in the second and third document.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - route:
    - destination: {host: ratings}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
spec:
  host: reviews
  trafficPolicy:
    loadBalancer:
      simple: FASTEST
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - rout:
    - destination: {host: reviews}
"""
CORRECT = MISTAKEN.replace("FASTEST", "RANDOM").replace("rout:", "route:")


@pytest_asyncio.fixture
async def bus() -> AsyncIterator[BusUnderTest]:
    async with serve_bus() as bus:
        await bus.open_store(Bucket.REGISTRY)
        yield bus


@pytest_asyncio.fixture
async def evaluator(bus: BusUnderTest, tmp_path: Path) -> AsyncIterator[EvaluatorActor]:
    actor = EvaluatorActor(control_spec(bus, tmp_path, "evaluator"))
    await until(lambda: actor.leading)
    yield actor
    await actor.stop()


async def apply(bus: BusUnderTest, file: Path, text: str, request: str) -> list[dict[str, Any]]:
    """What the client prints when it applies `text` as `file`."""
    file.write_text(text)  # noqa: ASYNC240 - a few lines
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        *(NODE, str(CLIENT), str(bus.creds / "operator.json")),
        *(bus.subjects.api_policy("apply"), request, str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_problems_say_file_line_field_and_what_is_allowed(
    bus: BusUnderTest, evaluator: EvaluatorActor, tmp_path: Path
) -> None:
    (answer,) = await apply(bus, tmp_path / "shop.yaml", MISTAKEN, "from-node-1")
    assert (answer["id"], answer["ok"], answer["done"]) == ("from-node-1", False, True)
    errors = [problem for problem in answer["problems"] if problem["severity"] == "error"]
    lines = MISTAKEN.splitlines()
    simple_line = lines.index("      simple: FASTEST") + 1
    assert [(it["file"], it["line"], it["path"]) for it in errors] == [
        ("shop.yaml", simple_line, "spec.trafficPolicy.loadBalancer.simple"),
        ("shop.yaml", lines.index("  - rout:") + 1, "spec.http[0].rout"),
    ]
    simple, unknown = (problem["message"] for problem in errors)
    for allowed in ("ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"):
        assert allowed in simple
    for allowed in ("match", "route", "redirect", "timeout"):
        assert allowed in unknown
    operator = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    assert (await operator.policies()).policies == [], "nothing of it is stored, not even the rest"


async def test_a_good_file_is_applied_once(
    bus: BusUnderTest, evaluator: EvaluatorActor, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    (answer,) = await apply(bus, file, CORRECT, "from-node-2")
    assert answer["ok"], answer["problems"]
    assert answer["revision"]["number"] > 0
    assert sorted(answer["changes"]) == [
        "created DestinationRule default/reviews",
        "created VirtualService default/ratings",
        "created VirtualService default/reviews",
    ]
    (again,) = await apply(bus, file, CORRECT, "from-node-2")
    assert again["revision"] == answer["revision"], "a request that comes again is answered"
    operator = PolicyClient(await bus.connect(Role.OPERATOR), bus.subjects)
    names = {(policy.kind, policy.name) for policy in (await operator.policies()).policies}
    assert names == {
        ("DestinationRule", "reviews"),
        ("VirtualService", "ratings"),
        ("VirtualService", "reviews"),
    }
