"""Requests of the policy API checked against a world: what would change, or every reason why not.

Pure. The checks themselves are `policies.apply`'s; here are its words on the wire.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tulle.actors.evaluator.commit import MAX_DOCUMENTS
from tulle.bus.messages import (
    ApplyRequest,
    DeleteRequest,
    GetRequest,
    PolicyFile,
    PolicyName,
    PolicyRecord,
    ProblemRecord,
)
from tulle.policies.apply import Change, Outcome, apply, delete
from tulle.policies.parse import Document, parse
from tulle.policies.problems import Problem
from tulle.policies.resources.kinds import KINDS
from tulle.policies.world import PolicyKey, World

UNCHANGED = "unchanged"


_NOTHING = "there is no policy in what was given: a policy has apiVersion, kind, metadata and spec"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a request changes and leaves as it is, and its problems; refused: no change."""

    changes: tuple[Change, ...]
    unchanged: tuple[PolicyKey, ...]
    problems: tuple[ProblemRecord, ...]

    @property
    def refused(self) -> bool:
        """Whether one of the problems is an error."""
        return any(problem.severity == "error" for problem in self.problems)

    @property
    def lines(self) -> tuple[str, ...]:
        """`created VirtualService default/reviews`, `unchanged ...`."""
        return (*map(str, self.changes), *(f"{UNCHANGED} {key}" for key in self.unchanged))


def check_apply(request: ApplyRequest, world: World, revision: int) -> Checked:
    """Parses and checks all files. `revision`: later than that of every policy in `world`."""
    documents, problems = _parse(request.files)
    if not documents and not problems:
        problems.append(_error("nothing-given", _NOTHING))
    if len(documents) > MAX_DOCUMENTS:
        problems.append(_too_many(len(documents)))
        return Checked((), (), tuple(problems))
    outcome = apply(world, documents, revision)
    checked = _checked(outcome, problems)
    changed = {change.key for change in outcome.changes}
    unchanged = [key for key in map(_key, documents) if key not in changed]
    return Checked(checked.changes, tuple(dict.fromkeys(unchanged)), checked.problems)


def check_delete(request: DeleteRequest, world: World) -> Checked:
    """By files and names together."""
    documents, problems = _parse(request.files)
    # What is wrong inside a document does not matter to who wants it gone; its name does.
    names, unknown = _names(request.names)
    gone = [*map(_key, documents), *names]
    problems += unknown
    if not gone and not problems:
        problems.append(_error("nothing-given", _NOTHING))
    if len(gone) > MAX_DOCUMENTS:
        return Checked((), (), (*problems, _too_many(len(gone))))
    return _checked(delete(world, gone), problems)


def select(world: World, request: GetRequest) -> list[PolicyRecord]:
    """The policies that match; an empty field matches all."""
    return [
        PolicyRecord(
            kind=policy.key.kind,
            namespace=policy.key.namespace,
            name=policy.key.name,
            created=policy.created,
            data=dict(policy.stored()),
        )
        for policy in world.policies
        if request.kind in ("", policy.key.kind)
        and request.namespace in ("", policy.key.namespace)
        and request.name in ("", policy.key.name)
    ]


def problem_record(problem: Problem) -> ProblemRecord:
    """A problem as it travels."""
    return ProblemRecord(
        code=problem.code,
        severity=problem.severity,
        path=problem.path,
        file=problem.file,
        line=problem.line,
        message=problem.message,
    )


def _checked(outcome: Outcome, problems: Sequence[ProblemRecord]) -> Checked:
    records = (*problems, *map(problem_record, outcome.problems))
    return Checked(outcome.changes, (), records)


def _parse(files: Sequence[PolicyFile]) -> tuple[list[Document], list[ProblemRecord]]:
    documents: list[Document] = []
    problems: list[ProblemRecord] = []
    for file in files:
        parsed = parse(file.text, file.name)
        documents += parsed.documents
        problems += map(problem_record, parsed.problems)
    return documents, problems


def _names(names: Sequence[PolicyName]) -> tuple[list[PolicyKey], list[ProblemRecord]]:
    kinds = {kind.lower(): kind for kind in KINDS}
    found = [
        PolicyKey(kinds[name.kind.lower()], name.namespace, name.name)
        for name in names
        if name.kind.lower() in kinds
    ]
    unknown = [
        _error("unknown-kind", f"{name.kind!r} is no policy; known: {', '.join(KINDS)}")
        for name in names
        if name.kind.lower() not in kinds
    ]
    return found, unknown


def _key(document: Document) -> PolicyKey:
    return PolicyKey(document.kind, document.namespace, document.name)


def _too_many(count: int) -> ProblemRecord:
    return _error(
        "too-many-documents",
        f"{count} documents in one request; {MAX_DOCUMENTS} are the most that can be committed "
        "as one: split them",
    )


def _error(code: str, message: str) -> ProblemRecord:
    return ProblemRecord(code=code, severity="error", message=message)
