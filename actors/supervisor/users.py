"""Users of the mesh's NATS that the supervisor makes: one per proxy, at its spawn.

What a proxy's user may do is its own alone (bus.permissions). Its JWT has no end: it is of use for
this id only, and its file goes with the proxy's folder, when the proxy has ended for good.
"""

from dataclasses import dataclass
from pathlib import Path

from tulle.actors.proxy.spec import ProxySpec
from tulle.bus.issuer import Issuer
from tulle.bus.permissions import ProxyUser, rights
from tulle.bus.subjects import Subjects


@dataclass(frozen=True, slots=True)
class Users:
    """Makes users for the mesh of `subjects`. `keys_folder`: of the issuer's keys."""

    issuer: Issuer
    keys_folder: Path
    subjects: Subjects

    def write(self, spec: ProxySpec) -> None:
        """Writes `spec.nats_credentials`; a proxy that is started again keeps its key.

        Raises `OSError`.
        """
        path = Path(spec.nats_credentials)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = ProxyUser(spec.id, spec.namespace, spec.account, spec.pool)
        granted = rights(user, self.subjects)
        self.issuer.renewed(path, spec.nats_url, user.name, granted).write(path)
