"""Republished changes: what the headers say is what the event says."""

import pytest

from tulle.bus import keys
from tulle.bus.errors import Undecodable
from tulle.bus.events import Event, parse_event
from tulle.bus.store import Operation
from tulle.bus.subjects import Bucket, Subjects
from tulle.bus.subscription import Message

SUBJECTS = Subjects("test")
KEY = keys.outbound("a.b")
STORED = {"Nats-Sequence": "42", "Nats-Last-Sequence": "40"}


def test_a_put_is_an_event_with_its_value() -> None:
    message = Message(SUBJECTS.event_config(KEY), b"value", "", STORED)
    assert parse_event(SUBJECTS, message) == Event(
        Bucket.CONFIG, KEY, b"value", 42, 40, Operation.PUT
    )


@pytest.mark.parametrize(
    "gone", [{"KV-Operation": "DEL"}, {"KV-Operation": "PURGE"}, {"Nats-Marker-Reason": "MaxAge"}]
)
def test_deletes_purges_and_markers_are_deletes(gone: dict[str, str]) -> None:
    message = Message(SUBJECTS.event_registry("service.a.b"), b"", "", STORED | gone)
    event = parse_event(SUBJECTS, message)
    assert (event.bucket, event.operation, event.value) == (
        Bucket.REGISTRY,
        Operation.DELETE,
        b"",
    )


@pytest.mark.parametrize(
    "message",
    [
        Message(SUBJECTS.event_config(KEY), b"forged"),
        Message(SUBJECTS.event_config(KEY), b"", "", STORED | {"Nats-Sequence": "x"}),
        Message(SUBJECTS.heartbeat(), b"", "", STORED),
        Message("tulle.other.event.config.hosts", b"", "", STORED),
    ],
)
def test_what_the_server_did_not_republish_is_refused(message: Message) -> None:
    with pytest.raises(Undecodable, match="republished change"):
        parse_event(SUBJECTS, message)
