"""The authority as an actor: reads its folder, then answers `ca.sign.*.*`; `signing.py` decides.

Its counterpart is the certificate client of each proxy. A CSR costs about a millisecond; those that
come in a crowd wait their turn in the subscription's bounded queue.
"""

import asyncio
import time

from cryptography import x509

from tulle.actors import logs
from tulle.actors.authority.disk import load_authority, load_ticket_key
from tulle.actors.authority.signing import Signing
from tulle.actors.control import ControlSpec
from tulle.actors.lives import Lives
from tulle.actors.serving import Server, connect_for_ever, endpoint
from tulle.bus.connection import Connection
from tulle.bus.messages import SignAnswer, SignRequest
from tulle.bus.subjects import Subjects

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
        signing = await asyncio.to_thread(_load, self._spec)
        connection = await connect_for_ever(self._spec)
        try:
            await self._serve(connection, signing)
            self._lives.serving.set()
            await asyncio.Event().wait()  # until it is stopped
        finally:
            await connection.drain()

    async def _serve(self, connection: Connection, signing: Signing) -> None:
        subjects = Subjects(self._spec.mesh)

        async def sign(parts: tuple[str, ...], request: SignRequest) -> SignAnswer:
            namespace, account = parts
            serial = x509.random_serial_number()
            return signing.answer(namespace, account, request, now=time.time(), serial=serial)

        server = Server(connection, subjects)
        await server.serve(subjects.ca_sign_all, endpoint(SignRequest, sign), QUEUE)


def _load(spec: ControlSpec) -> Signing:
    folder = spec.authority_folder
    root, intermediate = load_authority(folder, spec.mesh, time.time())
    return Signing(
        intermediate=intermediate,
        root=root.certificate,
        ticket_key=load_ticket_key(folder),
        trust_domain=spec.trust_domain,
        leaf_ttl_seconds=spec.leaf_ttl_seconds,
    )
