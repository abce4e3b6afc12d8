"""Users of the mesh's NATS that the supervisor makes: one per proxy, at its spawn, and runners.

What a proxy's user may do is its own alone (bus.permissions). Its JWT has no end: it is of use for
this id only, and its file goes with the proxy's folder, when the proxy has ended for good.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tulle.actors.proxy.spec import ProxySpec
from tulle.bus.issuer import Issuer, push, read_revoked, revoke
from tulle.bus.keeping import RunnerRecord
from tulle.bus.permissions import ProxyUser, RunnerUser, rights
from tulle.bus.subjects import Subjects


@dataclass(frozen=True, slots=True)
class Users:
    """Makes users for the mesh of `subjects`. `keys_folder`: of the issuer's keys."""

    issuer: Issuer
    keys_folder: Path
    subjects: Subjects
    url: str

    def write(self, spec: ProxySpec) -> None:
        """Writes `spec.nats_credentials`; a proxy that is started again keeps its key.

        Raises `OSError`.
        """
        path = Path(spec.nats_credentials)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = ProxyUser(spec.id, spec.namespace, spec.account, spec.pool)
        granted = rights(user, self.subjects)
        self.issuer.renewed(path, spec.nats_url, user.name, granted).write(path)

    def runner_name(self, runner: RunnerRecord) -> str:
        """The name of a runner's user."""
        return _runner(runner).name

    def runner_jwt(self, runner: RunnerRecord) -> str:
        """The JWT of a runner's user."""
        user = _runner(runner)
        return self.issuer.user(user.name, runner.user, rights(user, self.subjects))

    def revoke(self, runner: RunnerRecord) -> dict[str, int]:
        """Writes down that the runner is let in no more; all that are, for `push`.

        Raises `OSError`, `KeysDamaged`.
        """
        return revoke(self.keys_folder, runner.user)

    async def push(self, revoked: dict[str, int]) -> None:
        """Tells the running server. Raises `BusError`."""
        await push(self.issuer, self.subjects.mesh, self.url, revoked)

    async def push_again(self) -> None:
        """Tells a server that may know of nobody revoked. Raises `BusError`, `KeysDamaged`."""
        if revoked := await asyncio.to_thread(read_revoked, self.keys_folder):
            await self.push(revoked)


def _runner(record: RunnerRecord) -> RunnerUser:
    return RunnerUser(record.name, record.namespace, record.account)
