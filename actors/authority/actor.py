"""The authority as an actor: reads its folder, then answers `ca.sign.*.*` at its `desk.py`.

Its counterpart is the certificate client of each proxy. A CSR costs about a millisecond; those that
come in a crowd wait their turn in the subscription's bounded queue.
"""

import asyncio
import time

from cryptography import x509

from tulle.actors import logs
from tulle.actors.authority.bindings import Bindings
from tulle.actors.authority.desk import Desk, load_bindings
from tulle.actors.authority.disk import load_authority, load_ticket_key
from tulle.actors.authority.signing import Signing
from tulle.actors.control import ControlSpec
from tulle.actors.lives import Lives
from tulle.actors.serving import Server, connect_for_ever, endpoint
from tulle.bus.jetstream import existing_store
from tulle.bus.messages import SignRequest
from tulle.bus.subjects import Bucket, Subjects

QUEUE = "authority"


class AuthorityActor:
    """Starts itself on the running loop; a restart needs nobody."""

    def __init__(self, spec: ControlSpec) -> None:
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self._spec = spec
        self._lives = Lives(spec.name, self._live)

    async def health(self) -> None:
        """Returns once it serves. Raises what kept it from that: `FolderDamaged`, `OSError`."""
        await self._lives.health()

    async def stop(self) -> None:
        """Ends it in order."""
        await self._lives.stop()

    async def _live(self) -> None:
        signing, bindings = await asyncio.to_thread(_load, self._spec)
        connection = await connect_for_ever(self._spec)
        subjects = Subjects(self._spec.mesh)
        desk = Desk(
            signing,
            self._spec.authority_folder,
            bindings,
            existing_store(connection, subjects, Bucket.DESIRED),
            now=time.time,
            serial=x509.random_serial_number,
        )
        server = Server(connection, subjects)
        try:
            await server.serve(subjects.ca_sign_all, endpoint(SignRequest, desk.sign), QUEUE)
            self._lives.serving.set()
            await desk.sweep_for_ever()  # until it is stopped
        finally:
            await server.stop()
            await connection.drain()


def _load(spec: ControlSpec) -> tuple[Signing, Bindings]:
    folder = spec.authority_folder
    root, intermediate = load_authority(folder, spec.mesh, time.time())
    signing = Signing(
        intermediate=intermediate,
        root=root.certificate,
        ticket_key=load_ticket_key(folder),
        trust_domain=spec.trust_domain,
        leaf_ttl_seconds=spec.leaf_ttl_seconds,
    )
    return signing, load_bindings(folder)
