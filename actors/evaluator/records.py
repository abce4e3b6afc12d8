"""What bucket `policies` holds: documents and the log. `commit.py` writes, `picture.py` reads.

Other keys of the bucket are the leader's (actors.leadership) and the epoch (bus).
"""

from typing import Final

from tulle.bus.messages import Message, ProblemRecord

KEPT_LOGS: Final = 1000
"""How many commits the log remembers."""


def next_log(number: int) -> int:
    """The number after `number`, 0 at first: of a ring, so that the log never grows above it."""
    return number % KEPT_LOGS + 1


class StoredPolicy(Message):
    """Key `doc.<kind>.<namespace>.<name>`: a document as written.

    `created` is the revision that created it, 0 in that very commit, whose revision nobody knows
    beforehand: it is the entry's own plus `behind`, the number of messages after it in the batch.
    """

    created: int = 0
    behind: int = 0
    data: dict[str, object]

    def created_at(self, entry_revision: int) -> int:
        """The revision that created the document, of which this is an entry."""
        return self.created or entry_revision + self.behind


class LoggedChange(Message):
    """What a commit did to one document; None: it was not there."""

    kind: str
    namespace: str
    name: str
    before: dict[str, object] | None
    after: dict[str, object] | None


class LogRecord(Message):
    """Key `log.<n>`, the last message of its commit: its revision is that of the mesh.

    Revisions are the order of the log: the newest 1,000 are kept, a later one takes the place of
    the oldest. No key is deleted for it, since a bucket keeps an entry for each deleted key.

    `id` is the request's, so that a retry gets the same answer; `when` in Unix seconds; `by` is
    the evaluator that wrote it. `lines` and `problems` are the answer's.
    """

    id: str
    when: float
    by: str
    changes: tuple[LoggedChange, ...]
    lines: tuple[str, ...] = ()
    problems: tuple[ProblemRecord, ...] = ()
