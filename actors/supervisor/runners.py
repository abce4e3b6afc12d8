"""Users for `tulle run` that may start one service account: api.runner.{add,remove,list}.

Who asks makes the key and sends its public half, so that no secret travels. A runner that is
removed is out at once: its user is revoked on disk, then in the running server.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tulle.actors.supervisor.admission import name_problems, problem
from tulle.actors.supervisor.ledger import Ledger
from tulle.actors.supervisor.users import Users
from tulle.bus import keys
from tulle.bus.keeping import (
    RunnerAddRequest,
    RunnerAnswer,
    RunnerRecord,
    RunnerRemoveRequest,
    RunnersAnswer,
)
from tulle.bus.messages import Answer, ProblemRecord
from tulle.bus.nkeys import Kind, is_public

MOST: Final = 1000


class Runners:
    """All runners of the mesh, for one term of leadership. `unix_time`: the clock."""

    def __init__(
        self, ledger: Ledger[RunnerRecord], users: Users, unix_time: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._users = users
        self._unix_time = unix_time

    async def load(self) -> None:
        """Reads what there is. Raises `BusError`, `Undecodable`."""
        await self._ledger.load()

    async def add(self, request: RunnerAddRequest) -> RunnerAnswer:
        """api.runner.add: the user's JWT, or why there is none.

        The same again, e.g. of a predecessor whose answer was lost, gets it again.
        """
        record = self._ledger.get(keys.runner(request.name)) if request.name else None
        if record is not None and _is_of(record, request):
            return self._added(request, record)
        if problems := self._problems(request):
            return RunnerAnswer(id=request.id, ok=False, problems=problems)
        record = RunnerRecord(
            name=request.name,
            namespace=request.namespace,
            account=request.account,
            user=request.user,
            created=self._unix_time(),
        )
        await self._ledger.change(keys.runner(request.name), lambda _: record)
        return self._added(request, record)

    def _added(self, request: RunnerAddRequest, record: RunnerRecord) -> RunnerAnswer:
        return RunnerAnswer(
            id=request.id,
            ok=True,
            changes=[f"created runner {request.name}"],
            url=self._users.url,
            user=self._users.runner_name(record),
            jwt=self._users.runner_jwt(record),
            ca=self._users.issuer.ca,
        )

    async def remove(self, request: RunnerRemoveRequest) -> Answer:
        """api.runner.remove. Raises `BusError`, `OSError`: it may be said again."""
        record = self._ledger.get(keys.runner(request.name)) if request.name else None
        if record is None:
            names = ", ".join(one.name for one in self._ledger.all()) or "none"
            message = f"no runner {request.name!r}; there are: {names}"
            found = problem("unknown-runner", "name", message)
            return Answer(id=request.id, ok=False, problems=[found])
        revoked = await asyncio.to_thread(self._users.revoke, record)
        await self._users.push(revoked)
        await self._ledger.change(keys.runner(request.name), lambda _: None)
        return Answer(id=request.id, ok=True, changes=[f"removed runner {request.name}"])

    def listed(self, request_id: str) -> RunnersAnswer:
        """api.runner.list."""
        return RunnersAnswer(id=request_id, ok=True, runners=self._ledger.all())

    def _problems(self, request: RunnerAddRequest) -> list[ProblemRecord]:
        names = {
            "name": request.name,
            "namespace": request.namespace,
            "account": request.account,
        }
        found = list(name_problems(names))
        if not is_public(request.user, Kind.USER):
            found.append(problem("bad-key", "user", "user must be the public NATS key of a user"))
        if not found and self._ledger.get(keys.runner(request.name)) is not None:
            message = f"runner {request.name} exists: `tulle runner remove {request.name}` first"
            found.append(problem("runner-exists", "name", message))
        if len(self._ledger.all()) >= MOST:
            found.append(problem("too-many", "", f"there are {MOST} runners: remove some"))
        return found


def _is_of(record: RunnerRecord, request: RunnerAddRequest) -> bool:
    """Whether `request` made `record`: nobody else has the key of its user."""
    asked = (request.namespace, request.account, request.user)
    return (record.namespace, record.account, record.user) == asked
