"""What an evaluator knows: policies, services and the log, followed from the store's watches.

Pure. Leader and followers keep it alike, so a take-over starts from a complete picture. A commit
becomes visible as a whole: its documents are staged until its log record, or whatever else comes
after it, arrives. `commit.py` plans commits on it, `publisher.py` compiles its world.
"""

import orjson

from tulle.actors.evaluator.records import LogRecord, StoredPolicy, next_log
from tulle.bus import codec, keys
from tulle.bus.errors import Undecodable
from tulle.bus.messages import ServiceRecord
from tulle.bus.store import Entry, Operation
from tulle.policies.world import Policy, PolicyKey, Port, Service, Settings, World

REMEMBERED = 1000
"""How many answered requests are known by id."""


class Picture:
    """Fed with the entries of buckets `policies` and `registry`, in the order of revisions."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.revision = 0  # of the mesh: of the newest log record, at first of the epoch
        self.position = 0  # in bucket policies: of the newest entry seen
        self._log_number = 0  # of the newest log record
        self._logs: dict[str, int] = {}  # revision of each one's entry
        self._settings = settings or Settings()
        self._documents: dict[str, int] = {}  # revision of each one's entry, deleted ones too
        self._policies: dict[PolicyKey, Policy] = {}
        self._services: dict[str, Service] = {}
        self._staged: list[tuple[Entry, Policy | str]] = []  # read already, or why not
        self._answered: dict[str, tuple[LogRecord, int]] = {}
        self._unreadable: dict[str, str] = {}
        self._world: World | None = None

    @property
    def world(self) -> World:
        """All of it as one value; the same object until something in it changes."""
        if self._world is None:
            self._world = World.of(
                self._policies.values(), self._services.values(), settings=self._settings
            )
        return self._world

    @property
    def unreadable(self) -> list[str]:
        """Stored documents that this version can't read, as sentences; they take no effect."""
        return [f"{key}: {reason}" for key, reason in sorted(self._unreadable.items())]

    def entry_revision(self, key: PolicyKey) -> int:
        """The revision of the document's entry in the bucket, 0: never written."""
        return self._documents.get(keys.document(*key), 0)

    @property
    def next_log(self) -> str:
        """The key of the next log record."""
        return keys.log(next_log(self._log_number))

    @property
    def oldest_log(self) -> int:
        """The revision of the log record whose place the next one takes, 0: none has it."""
        return self._logs.get(self.next_log, 0)

    def answered(self, request: str) -> tuple[LogRecord, int] | None:
        """The log record of a request that was carried out, and its revision."""
        return self._answered.get(request)

    def on_policies(self, entry: Entry) -> None:
        """An entry of bucket `policies`."""
        self.position = max(self.position, entry.revision)  # a watch may begin out of order
        kind = keys.parse_key(entry.key).kind
        if kind is keys.KeyKind.DOCUMENT:
            self._staged.append((entry, _read(entry)))
            return
        self.flush()
        if kind is keys.KeyKind.EPOCH:
            # A mesh without policies has a revision too, that proxies can be current at.
            self.revision = max(self.revision, entry.revision)
        elif kind is keys.KeyKind.LOG and entry.operation is Operation.PUT:
            self._on_log(entry)

    def flush(self) -> None:
        """What is staged is complete: the watch has given all that was there."""
        for entry, policy in self._staged:
            self._on_document(entry, policy)
        self._staged.clear()

    def on_registry(self, entry: Entry) -> ServiceRecord | None:
        """An entry of bucket `registry`. Workloads come and go without changing the world.

        Returns the service's record, if that is what it is.
        """
        if keys.parse_key(entry.key).kind is not keys.KeyKind.SERVICE:
            return None
        record = None
        before = self._services.pop(entry.key, None)
        if entry.operation is Operation.PUT:
            try:
                record = codec.decode(ServiceRecord, entry.value)
                self._services[entry.key] = service_of(record)
                self._unreadable.pop(entry.key, None)
            except Undecodable as error:
                self._unreadable[entry.key] = str(error)
                if before is not None:
                    self._services[entry.key] = before
        if self._services.get(entry.key) != before:
            self._world = None
        return record

    def _on_document(self, entry: Entry, policy: Policy | str) -> None:
        self._documents[entry.key] = entry.revision
        key = policy_key(entry.key)
        self._unreadable.pop(entry.key, None)
        if entry.operation is Operation.DELETE:
            self._policies.pop(key, None)
        elif isinstance(policy, str):
            self._unreadable[entry.key] = policy
        else:
            self._policies[key] = policy
        self._world = None

    def _on_log(self, entry: Entry) -> None:
        self._logs[entry.key] = entry.revision
        if entry.revision > self.revision:
            self.revision = entry.revision
            self._log_number = int(keys.parse_key(entry.key).parts[0])
        try:
            record = codec.decode(LogRecord, entry.value)
        except Undecodable as error:
            self._unreadable[entry.key] = str(error)
            return
        self._answered[record.id] = (record, entry.revision)
        if len(self._answered) > REMEMBERED:
            del self._answered[next(iter(self._answered))]


def read_policy(entry: Entry) -> Policy:
    """The policy of a document's entry. Raises `ValueError` when this version can't read it."""
    try:
        stored = codec.decode(StoredPolicy, entry.value)
    except Undecodable as error:
        raise ValueError(str(error)) from error
    # Through JSON: what pydantic calls `object` is plain JSON to policies.
    data = orjson.loads(orjson.dumps(stored.data))
    return Policy.from_stored(data, stored.created_at(entry.revision))


def _read(entry: Entry) -> Policy | str:
    if entry.operation is Operation.DELETE:
        return ""
    try:
        return read_policy(entry)
    except ValueError as error:
        return str(error)


def policy_key(key: str) -> PolicyKey:
    """`doc.VirtualService.default.reviews` as the name of a policy."""
    kind, namespace, name = keys.parse_key(key).parts
    return PolicyKey(kind, namespace, name)  # type: ignore[arg-type]


def service_of(record: ServiceRecord) -> Service:
    """What policies need to know of a service: no workloads."""
    ports = tuple(sorted(Port(port.number, port.name, port.protocol) for port in record.ports))
    return Service(record.namespace, record.name, ports, tuple(sorted(record.accounts)))
