"""A checked request as one atomic commit: documents, then the log record, whose revision is the
mesh's.

Pure. `requests.py` checks what is asked for; the leader commits the result behind its fence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tulle.actors.evaluator.picture import Picture
from tulle.actors.evaluator.records import LoggedChange, LogRecord, StoredPolicy
from tulle.bus import codec, keys
from tulle.bus.messages import ProblemRecord
from tulle.bus.store import MAX_BATCH, Change, Operation
from tulle.policies.parse import Document
from tulle.policies.world import PolicyKey

MAX_DOCUMENTS = MAX_BATCH - 2
"""Documents in one request: the fence and the log record travel with them."""


@dataclass(frozen=True, slots=True)
class Commit:
    """`changes` for the store, none when nothing would change; `lines` say what they do."""

    changes: tuple[Change, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, for which request, and when (Unix seconds)."""

    request: str
    by: str
    when: float


def commit_of(
    picture: Picture,
    documents: Sequence[Document],
    gone: Sequence[PolicyKey],
    problems: Sequence[ProblemRecord],
    author: Author,
) -> Commit:
    """The commit that stores `documents`, and deletes `gone`, which all exist."""
    edits = [*_puts(picture, documents), *_deletes(picture, gone)]
    lines = tuple(edit.line for edit in edits)
    logged = tuple(edit.logged for edit in edits if edit.logged is not None)
    if not logged:
        return Commit((), lines)
    record = LogRecord(
        id=author.request,
        when=author.when,
        by=author.by,
        changes=logged,
        lines=lines,
        problems=tuple(problems),
    )
    log = Change(keys.log(picture.log_number + 1), codec.encode(record), expected=0)
    documents_changes = [
        edit.change(picture, behind=len(logged) - place)
        for place, edit in enumerate(edit for edit in edits if edit.logged is not None)
    ]
    return Commit((*documents_changes, log), lines)


@dataclass(frozen=True, slots=True)
class _Edit:
    """What happens to one document; `logged` None: nothing, it is stored like that already."""

    key: PolicyKey
    line: str
    logged: LoggedChange | None = None
    created: int = 0

    def change(self, picture: Picture, behind: int) -> Change:
        assert self.logged is not None
        key = keys.document(*self.key)
        expected = picture.entry_revision(self.key)
        if self.logged.after is None:
            return Change(key, operation=Operation.DELETE, expected=expected)
        stored = StoredPolicy(
            created=self.created, behind=0 if self.created else behind, data=self.logged.after
        )
        return Change(key, codec.encode(stored), expected=expected)


def _puts(picture: Picture, documents: Sequence[Document]) -> Iterator[_Edit]:
    for document in documents:
        key = PolicyKey(document.kind, document.namespace, document.name)
        before = picture.world.policy(key)
        if before is not None and before.document.data == document.data:
            yield _Edit(key, f"unchanged {key}")
            continue
        word = "created" if before is None else "changed"
        logged = LoggedChange(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            before=dict(before.stored()) if before else None,
            after=dict(document.data),
        )
        yield _Edit(key, f"{word} {key}", logged, before.created if before else 0)


def _deletes(picture: Picture, gone: Sequence[PolicyKey]) -> Iterator[_Edit]:
    for key in gone:
        before = picture.world.policy(key)
        logged = LoggedChange(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            before=dict(before.stored()) if before else None,
            after=None,
        )
        yield _Edit(key, f"deleted {key}", logged)
