"""A checked request as one atomic commit: documents, then the log record, which is its revision.

Pure. `requests.py` checks what is asked for; the leader commits the result behind its fence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tulle.actors.evaluator.picture import Picture
from tulle.actors.evaluator.records import LoggedChange, LogRecord, StoredPolicy
from tulle.bus import codec, keys, store
from tulle.bus.messages import ProblemRecord
from tulle.policies.apply import Change
from tulle.policies.world import Policy

MAX_DOCUMENTS = store.MAX_BATCH - 2
"""Documents in one commit: the fence and the log record travel with them."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, for which request, and when (Unix seconds)."""

    request: str
    by: str
    when: float


def commit_of(
    picture: Picture,
    changes: Sequence[Change],
    lines: Sequence[str],
    problems: Sequence[ProblemRecord],
    author: Author,
) -> list[store.Change]:
    """The messages to commit, in order; `lines` and `problems` are kept for a retried request."""
    record = LogRecord(
        id=author.request,
        when=author.when,
        by=author.by,
        changes=tuple(map(_logged, changes)),
        lines=tuple(lines),
        problems=tuple(problems),
    )
    log = store.Change(picture.next_log, codec.encode(record), expected=picture.oldest_log)
    documents = [
        _stored(picture, change, behind=len(changes) - place)
        for place, change in enumerate(changes)
    ]
    return [*documents, log]


def _stored(picture: Picture, change: Change, behind: int) -> store.Change:
    key = keys.document(*change.key)
    expected = picture.entry_revision(change.key)
    if change.after is None:
        return store.Change(key, operation=store.Operation.DELETE, expected=expected)
    created = change.before.created if change.before else 0
    stored = StoredPolicy(
        created=created, behind=0 if created else behind, data=dict(change.after.stored())
    )
    return store.Change(key, codec.encode(stored), expected=expected)


def _logged(change: Change) -> LoggedChange:
    return LoggedChange(
        kind=change.key.kind,
        namespace=change.key.namespace,
        name=change.key.name,
        before=_data(change.before),
        after=_data(change.after),
    )


def _data(policy: Policy | None) -> dict[str, object] | None:
    return dict(policy.stored()) if policy else None
