"""Certificates of gateways: api.credential.{add,delete,list}, written to bucket `credentials`.

The supervisor is their only writer and, but for gateways, their only reader. What it answers never
has a key in it.
"""

from collections.abc import Callable
from typing import Final

from tulle.actors.supervisor import certificates
from tulle.actors.supervisor.admission import problem
from tulle.actors.supervisor.ledger import Ledger
from tulle.bus import keys
from tulle.bus.keeping import (
    CredentialAddRequest,
    CredentialDeleteRequest,
    CredentialRecord,
    CredentialsAnswer,
)
from tulle.bus.messages import Answer, ProblemRecord

MOST: Final = 1000


class Credentials:
    """All credentials of the mesh, for one term of leadership. `unix_time`: the clock."""

    def __init__(self, ledger: Ledger[CredentialRecord], unix_time: Callable[[], float]) -> None:
        self._ledger = ledger
        self._unix_time = unix_time

    async def load(self) -> None:
        """Reads what there is. Raises `BusError`, `Undecodable`."""
        await self._ledger.load()

    async def add(self, request: CredentialAddRequest) -> Answer:
        """api.credential.add: a new one, or a new certificate in place of an older one."""
        problems = certificates.credential_problems(request, self._unix_time())
        if any(found.severity == "error" for found in problems):
            return Answer(id=request.id, ok=False, problems=problems)
        record = CredentialRecord(
            name=request.name,
            certificate=request.certificate,
            private_key=request.private_key,
            ca=request.ca,
        )
        key = keys.credential(request.name)
        before = self._ledger.get(key)
        if before is None and len(self._ledger.all()) >= MOST:
            problems.append(problem("too-many", "", f"there are {MOST} credentials: delete some"))
            return Answer(id=request.id, ok=False, problems=problems)
        await self._ledger.change(key, lambda _: record)
        what = "created" if before is None else "unchanged" if before == record else "replaced"
        return _changed(request.id, f"{what} credential {request.name}", problems)

    async def delete(self, request: CredentialDeleteRequest) -> Answer:
        """api.credential.delete."""
        key = keys.credential(request.name) if request.name else ""
        if self._ledger.get(key) is None:
            names = ", ".join(record.name for record in self._ledger.all()) or "none"
            message = f"no credential {request.name!r}; there are: {names}"
            found = problem("unknown-credential", "name", message)
            return Answer(id=request.id, ok=False, problems=[found])
        await self._ledger.change(key, lambda _: None)
        return _changed(request.id, f"deleted credential {request.name}", [])

    def listed(self, request_id: str) -> CredentialsAnswer:
        """api.credential.list."""
        reports = [
            certificates.report(record.name, record.certificate, record.ca)
            for record in self._ledger.all()
        ]
        return CredentialsAnswer(id=request_id, ok=True, credentials=reports)


def _changed(request_id: str, line: str, problems: list[ProblemRecord]) -> Answer:
    return Answer(id=request_id, ok=True, problems=problems, changes=[line])
