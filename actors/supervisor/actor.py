"""The supervisor as an actor: connects, follows or leads, and hands what it hears to its `Term`.

Serves api.{workload,credential,runner}.*, api.mesh.{services,workloads,scale}, lease.* and the
heartbeat of registry and credentials. While it does not lead it answers nobody: the one that leads
does.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tulle.actors import logs
from tulle.actors.authority.disk import load_ticket_key
from tulle.actors.control import ControlSpec
from tulle.actors.leadership import Leader
from tulle.actors.lives import Lives
from tulle.actors.serving import Server, by_verb, connect_for_ever, endpoint
from tulle.actors.supervisor.answers import Answers
from tulle.actors.supervisor.launcher import Launcher
from tulle.actors.supervisor.machine import Connected, Disconnected, Event
from tulle.actors.supervisor.specs import ProxySpecs
from tulle.actors.supervisor.term import Buckets, Term
from tulle.actors.supervisor.users import Users
from tulle.actors.supervisor.workloads import unknown_workload
from tulle.actors.terms import Terms
from tulle.bus.codec import decode, encode
from tulle.bus.connection import Connection
from tulle.bus.errors import BusError, Undecodable
from tulle.bus.issuer import Issuer
from tulle.bus.jetstream import existing_store, open_store
from tulle.bus.keeping import (
    CredentialAddRequest,
    CredentialDeleteRequest,
    CredentialListRequest,
    RunnerAddRequest,
    RunnerListRequest,
    RunnerRemoveRequest,
)
from tulle.bus.messages import (
    Answer,
    Lease,
    MeshRequest,
    ProxyStatus,
    ScaleRequest,
    ServicesAnswer,
    StartRequest,
    StopRequest,
)
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message

_AGAIN_SECONDS = 1.0

_LOG = logging.getLogger(__name__)


class SupervisorActor:
    """Starts itself on the running loop; a restart needs nobody.

    `launcher`: of tests; else proxies are actors of the Ray that this one runs on.
    """

    def __init__(self, spec: ControlSpec, launcher: Launcher | None = None) -> None:
        logs.start(spec.name, spec.log_folder, as_json=spec.json_logs)
        self._spec = spec
        self._subjects = Subjects(spec.mesh)
        self._launcher = launcher or _ray_launcher(spec)
        self._answers = Answers()
        self._term: Term | None = None
        self._lives = Lives(spec.name, self._live)

    @property
    def _leading(self) -> Term | None:
        """The term, while this replica leads: one that was frozen may not know yet that it does
        not."""
        return self._term if self._term is not None and self._term.leads else None

    async def health(self) -> None:
        """Returns once it hears requests. Raises what kept it from that."""
        await self._lives.health()

    async def stop(self) -> None:
        """Ends it in order; proxies stay."""
        await self._lives.stop()

    async def _live(self) -> None:
        ticket_key = await asyncio.to_thread(load_ticket_key, self._spec.authority_folder)
        specs = ProxySpecs(self._spec, ticket_key)
        keys_folder = Path(self._spec.nats_keys)
        issuer = await asyncio.to_thread(Issuer.load, keys_folder)
        users = Users(issuer, keys_folder, self._subjects, self._spec.nats_url)
        async with await connect_for_ever(self._spec, one_start=True) as connection:
            buckets = await self._open_buckets(connection)
            terms = Terms(self._spec.name)
            leader = Leader(buckets.registry, self._spec.name, on_change=terms.on_change)
            server = Server(connection, self._subjects)

            def new_term() -> Term:
                return Term(connection, buckets, leader, self._launcher, specs, users)

            try:
                await self._subscribe(connection, server)
                self._lives.serving.set()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(connection.until_another_start())
                    tasks.create_task(leader.run())
                    tasks.create_task(terms.run(lambda: self._reign(new_term)))
            finally:
                await server.stop()

    async def _reign(self, new_term: Callable[[], Term]) -> None:
        """Leads until cancelled. A term that fails is followed by one that starts over."""
        while True:
            term = new_term()
            try:
                await term.begin()
                _LOG.info("leads: name=%s", self._spec.name)
                self._term = term
                await term.run()
            except (BusError, Undecodable) as error:
                _LOG.warning("can't lead yet: %s", error)
            except Exception:
                _LOG.exception("the term failed, the next one starts from what is stored")
            finally:
                self._term = None
                await term.end()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _open_buckets(self, connection: Connection) -> Buckets:
        while True:
            try:
                return Buckets(
                    await open_store(connection, self._subjects, Bucket.REGISTRY),
                    await open_store(connection, self._subjects, Bucket.DESIRED),
                    await open_store(connection, self._subjects, Bucket.CREDENTIALS),
                    existing_store(connection, self._subjects, Bucket.POLICIES),
                )
            except BusError as error:
                _LOG.warning("buckets can't be opened yet: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _subscribe(self, connection: Connection, server: Server) -> None:
        subjects = self._subjects
        connection.on_disconnect(lambda: self._feed(Disconnected()))
        connection.on_reconnect(lambda: self._feed(Connected()))
        await connection.subscribe(subjects.lease_all, partial(self._on_lease, connection))
        await connection.subscribe(subjects.status_all, self._on_status)
        workload = {
            "start": endpoint(StartRequest, self._start),
            "stop": endpoint(StopRequest, self._stop),
        }
        await server.serve(subjects.api_workload_all, by_verb(workload))
        credential = {
            "add": endpoint(CredentialAddRequest, self._add_credential),
            "delete": endpoint(CredentialDeleteRequest, self._delete_credential),
            "list": endpoint(CredentialListRequest, self._list_credentials),
        }
        await server.serve(subjects.api_credential_all, by_verb(credential))
        runner = {
            "add": endpoint(RunnerAddRequest, self._add_runner),
            "remove": endpoint(RunnerRemoveRequest, self._remove_runner),
            "list": endpoint(RunnerListRequest, self._list_runners),
        }
        await server.serve(subjects.api_runner_all, by_verb(runner))
        await server.serve(subjects.api_mesh("scale"), endpoint(ScaleRequest, self._scale))
        listing = endpoint(MeshRequest, self._list)
        await server.serve(subjects.api_mesh("services"), listing)
        await server.serve(subjects.api_mesh("workloads"), listing)

    def _feed(self, event: Event) -> None:
        if self._term is not None:
            self._term.feed(event)

    async def _on_lease(self, connection: Connection, message: Message) -> None:
        try:
            lease = decode(Lease, message.data)
        except Undecodable as error:
            _LOG.warning("a lease can't be read: subject=%s error=%s", message.subject, error)
            return
        # Permissions guard the subject, so that is whose lease it is.
        namespace, account, workload = self._subjects.parse(message.subject).parts
        if self._term is None or workload != lease.workload:
            return
        known = self._term.leased(namespace, account, lease)
        if not known and self._leading is not None and message.reply:
            try:
                await connection.publish(message.reply, encode(unknown_workload(workload)))
            except BusError as error:
                _LOG.warning("not told that it is unknown: workload=%s error=%s", workload, error)

    async def _on_status(self, message: Message) -> None:
        try:
            status = decode(ProxyStatus, message.data)
        except Undecodable as error:
            _LOG.warning("a status can't be read: subject=%s error=%s", message.subject, error)
            return
        if self._term is not None and message.subject == self._subjects.status_proxy(status.id):
            self._term.reported(status)

    async def _start(self, parts: tuple[str, ...], request: StartRequest) -> Answer | None:
        if (term := self._leading) is None:
            return None
        namespace, account = parts
        return await self._answers.once(
            request.id, lambda: term.workloads.start(namespace, account, request)
        )

    async def _stop(self, parts: tuple[str, ...], request: StopRequest) -> Answer | None:
        if (term := self._leading) is None:
            return None
        namespace, account = parts
        return await self._answers.once(
            request.id, lambda: term.workloads.stop(namespace, account, request)
        )

    async def _scale(self, parts: tuple[str, ...], request: ScaleRequest) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return await self._answers.once(request.id, lambda: term.pools.scale(request))

    async def _add_credential(
        self, parts: tuple[str, ...], request: CredentialAddRequest
    ) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return await self._answers.once(request.id, lambda: term.credentials.add(request))

    async def _delete_credential(
        self, parts: tuple[str, ...], request: CredentialDeleteRequest
    ) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return await self._answers.once(request.id, lambda: term.credentials.delete(request))

    async def _list_credentials(
        self, parts: tuple[str, ...], request: CredentialListRequest
    ) -> Answer | None:
        return term.credentials.listed(request.id) if (term := self._leading) else None

    async def _add_runner(self, parts: tuple[str, ...], request: RunnerAddRequest) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return await self._answers.once(request.id, lambda: term.runners.add(request))

    async def _remove_runner(
        self, parts: tuple[str, ...], request: RunnerRemoveRequest
    ) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return await self._answers.once(request.id, lambda: term.runners.remove(request))

    async def _list_runners(
        self, parts: tuple[str, ...], request: RunnerListRequest
    ) -> Answer | None:
        return term.runners.listed(request.id) if (term := self._leading) else None

    async def _list(self, parts: tuple[str, ...], request: MeshRequest) -> Answer | None:
        if (term := self._leading) is None:
            return None
        return ServicesAnswer(
            id=request.id, ok=True, services=term.services.all(), pools=term.pools.all()
        )


def _ray_launcher(spec: ControlSpec) -> Launcher:
    from tulle.actors.spawn import RayLauncher  # it imports Ray, which tests do without

    return RayLauncher(spec.mesh)
