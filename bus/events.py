"""Changes of a bucket as core messages: the server republishes what it stored, in order.

Nobody needs a consumer for them, so any number of proxies can listen. A lost one is found by the
heartbeat, or by the next of the same key, and repaired by a read; see `store.py` for the reads.
"""

from dataclasses import dataclass
from typing import Final

from tulle.bus.errors import Undecodable
from tulle.bus.store import Operation
from tulle.bus.subjects import Bucket, Kind, Subjects
from tulle.bus.subscription import Message

OPERATION: Final = "KV-Operation"
SEQUENCE: Final = "Nats-Sequence"
LAST_SEQUENCE: Final = "Nats-Last-Sequence"
MARKER: Final = "Nats-Marker-Reason"

_BUCKETS = {
    Kind.EVENT_POLICIES: Bucket.POLICIES,
    Kind.EVENT_CONFIG: Bucket.CONFIG,
    Kind.EVENT_REGISTRY: Bucket.REGISTRY,
    Kind.EVENT_CREDENTIALS: Bucket.CREDENTIALS,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One stored change. `sequence`: its revision. `previous_sequence`: of the same key before.

    A listener that does not hold `previous_sequence` missed something, which does not matter: the
    value is complete in itself. `value` is empty after a delete or purge.
    """

    bucket: Bucket
    key: str
    value: bytes
    sequence: int
    previous_sequence: int
    operation: Operation


def parse_event(subjects: Subjects, message: Message) -> Event:
    """The event in a message on `event.<bucket>.<key>`. Raises `Undecodable`."""
    try:
        parsed = subjects.parse(message.subject)
        bucket, (key,) = _BUCKETS[parsed.kind], parsed.parts
        sequence = int(message.headers[SEQUENCE])
        previous = int(message.headers[LAST_SEQUENCE])
    except (ValueError, KeyError) as error:
        raise Undecodable("republished change", f"{message.subject!r}: {error}") from None
    operation = operation_of(message)
    value = message.data if operation is Operation.PUT else b""
    return Event(bucket, key, value, sequence, previous, operation)


def operation_of(message: Message) -> Operation:
    """What a stored message does; purges and the server's own markers are deletes."""
    gone = message.headers.get(OPERATION) in ("DEL", "PURGE") or MARKER in message.headers
    return Operation.DELETE if gone else Operation.PUT
