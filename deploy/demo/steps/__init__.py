"""The demo's steps, each a list of checks in a file of its own: `async def run(stage)`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tulle.deploy.demo.stage import Stage
from tulle.deploy.demo.steps import (
    authorization,
    canary,
    faults,
    identity,
    killing,
    plain,
    scaling,
    without_nats,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A step by its number on the command line."""

    title: str
    run: Callable[[Stage], Awaitable[None]]


STEPS: Mapping[int, Step] = {
    1: Step("everything answers over mTLS", identity.run),
    2: Step("canary, header and blue-green under traffic", canary.run),
    3: Step("gateways come and go under traffic", scaling.run),
    4: Step("faults meet whom they are meant for", faults.run),
    5: Step("PERMISSIVE and STRICT", plain.run),
    6: Step("only productpage may call details", authorization.run),
    7: Step("what is killed comes back", killing.run),
    8: Step("NATS away, then a policy", without_nats.run),
}
