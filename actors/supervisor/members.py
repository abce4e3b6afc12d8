"""How the members of a pool are started and ended, and whether they serve: by the pool's kind.

Gateways are proxies, which drain and say by themselves that they serve. Evaluators and collectors
are control actors: the Ray host has started the first ones, so that a mesh starts fast; what is
desired the supervisor brings about (pools.py).
"""

from typing import Final, Protocol

from tulle.actors.control import Role
from tulle.actors.supervisor.admission import problem
from tulle.actors.supervisor.context import Context
from tulle.actors.supervisor.launcher import LaunchFailed
from tulle.actors.telemetry.shards import SHARDS
from tulle.bus.messages import PoolRecord, ProblemRecord
from tulle.bus.permissions import COLLECTORS

SERVE_SECONDS: Final = 30.0
DRAIN_SECONDS: Final = 45.0
"""A gateway drains for 30 s at most; the rest is for its holder and its end."""
RETIRE_SECONDS: Final = 10.0
MOST_EVALUATORS: Final = 8

DEFAULTS: Final = (
    PoolRecord(
        name="ingress",
        replicas=1,
        labels={"istio": "ingressgateway", "app": "istio-ingressgateway"},
    ),
    PoolRecord(
        name="evaluators",
        kind="evaluator",
        replicas=2,
        members=["evaluator-1", "evaluator-2"],
    ),
    PoolRecord(name=COLLECTORS, kind="collector", replicas=1, members=["collector-1"]),
)
"""The pools of a new mesh. Members that are named here the Ray host starts (deploy.local)."""


class Members(Protocol):
    """What differs between kinds of pools."""

    def refusal(self, replicas: int) -> str:
        """Why a pool of this kind can't have so many members; empty: it can."""

    def in_order(self, members: list[str]) -> list[str]:
        """Who stays longest first."""

    def new(self, pool: PoolRecord) -> str:
        """A name for a new member."""

    async def start(self, pool: PoolRecord, member: str) -> None:
        """Starts a member, or finds it running. Raises `LaunchFailed`."""

    def serves(self, member: str) -> bool:
        """Whether it serves, after its start."""

    async def end(self, member: str) -> ProblemRecord | None:
        """Ends a member in order, for good; a warning, if not all was in order.

        Raises `LaunchFailed` when it may still be there.
        """


class Gateways:
    """Members are proxy ids; those who serve stay."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def refusal(self, replicas: int) -> str:
        return ""

    def in_order(self, members: list[str]) -> list[str]:
        return sorted(members, key=lambda member: not self.serves(member))

    def new(self, pool: PoolRecord) -> str:
        return f"{pool.name}-{self._context.suffix()}"

    async def start(self, pool: PoolRecord, member: str) -> None:
        now = self._context.unix_time()
        await self._context.launch(self._context.specs.gateway(pool, member, now))

    def serves(self, member: str) -> bool:
        return self._context.reports.proxies.serves(member)

    async def end(self, member: str) -> ProblemRecord | None:
        launcher, found = self._context.launcher, None
        try:
            await launcher.drain(member, DRAIN_SECONDS)
        except LaunchFailed as error:
            found = ProblemRecord(code="not-drained", severity="warning", message=str(error))
        await launcher.kill(member)
        return found


class Control:
    """Members are `evaluator-1`, `evaluator-2`, ...; the oldest stay, the first one always."""

    def __init__(self, context: Context, role: Role, most: int) -> None:
        self._context = context
        self._role = role
        self._most = most

    def refusal(self, replicas: int) -> str:
        if 1 <= replicas <= self._most:
            return ""
        return f"a mesh has from 1 to {self._most} {self._role}s, not {replicas}"

    def in_order(self, members: list[str]) -> list[str]:
        return sorted(members, key=_number)

    def new(self, pool: PoolRecord) -> str:
        taken = set(map(_number, pool.members))
        return f"{self._role}-{min(set(range(1, len(taken) + 2)) - taken)}"

    async def start(self, pool: PoolRecord, member: str) -> None:
        spec = self._context.specs.of_role(self._role, str(_number(member)))
        await self._context.launcher.start_control(spec, SERVE_SECONDS)

    def serves(self, member: str) -> bool:
        return True  # or `start` would not have returned

    async def end(self, member: str) -> ProblemRecord | None:
        name = self._context.specs.of_role(self._role, str(_number(member))).name
        await self._context.launcher.end_control(name, RETIRE_SECONDS)
        return None


def members_of(context: Context) -> dict[str, Members]:
    """By kind of pool."""
    return {
        "gateway": Gateways(context),
        "evaluator": Control(context, "evaluator", MOST_EVALUATORS),
        "collector": Control(context, "collector", SHARDS),
    }


def silence(context: Context, member: str) -> ProblemRecord:
    """Why a member does not serve, as far as it said."""
    said = "; ".join(context.reports.proxies.problems(member))
    message = f"{member} does not serve after {SERVE_SECONDS:.0f} s"
    return problem("not-serving", "", f"{message}: {said}" if said else message)


def _number(member: str) -> int:
    return int(member.rpartition("-")[2])
