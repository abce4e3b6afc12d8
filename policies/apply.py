"""What the evaluator calls: a world and documents -> the next world, or why not. All or nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tulle.policies.parse import Document
from tulle.policies.problems import Problem, has_errors
from tulle.policies.resolve import Index
from tulle.policies.validate import check, references
from tulle.policies.world import Policy, PolicyKey, World


@dataclass(frozen=True, slots=True)
class Change:
    """One policy before and after; None: it is not there."""

    key: PolicyKey
    before: Policy | None
    after: Policy | None

    @property
    def action(self) -> Literal["created", "changed", "deleted"]:
        """What happens to the policy."""
        if self.after is None:
            return "deleted"
        return "created" if self.before is None else "changed"

    def __str__(self) -> str:
        """`created VirtualService default/reviews`."""
        return f"{self.action} {self.key}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The world to commit, all problems, all changes; if refused the old world and no change."""

    world: World
    problems: tuple[Problem, ...]
    changes: tuple[Change, ...]

    @property
    def ok(self) -> bool:
        """Whether it may be committed."""
        return not has_errors(self.problems)


def apply(world: World, documents: Iterable[Document], revision: int) -> Outcome:
    """Adds or replaces policies. `revision` is the creation revision of those that are new.

    A document that says what is there already is no change.
    """
    documents = list(documents)
    now = {policy.key: policy for policy in world.policies}
    changes: dict[PolicyKey, Change] = {}
    for document in documents:
        policy = Policy(document, revision)
        before = now.get(policy.key)
        if before is not None:
            policy = replace(policy, created=before.created)
        if before is None or before.document.data != document.data:
            changes[policy.key] = Change(policy.key, before, policy)
    applied = [change.after for change in changes.values() if change.after is not None]
    after = world.with_policies(applied)
    problems = [*check(after, documents), *_new_elsewhere(world, after, documents)]
    return _outcome(world, after, problems, changes.values())


def delete(world: World, keys: Iterable[PolicyKey]) -> Outcome:
    """Removes policies. One that is not there is an error, and nothing is removed."""
    now = {policy.key: policy for policy in world.policies}
    wanted = list(dict.fromkeys(keys))
    changes = [Change(key, now[key], None) for key in wanted if key in now]
    missing = [
        Problem("no-such-policy", "error", "", "", 0, f"there is no {key}")
        for key in wanted
        if key not in now
    ]
    after = world.without_policies(wanted)
    return _outcome(world, after, [*missing, *_new_elsewhere(world, after, ())], changes)


def _outcome(
    before: World, after: World, problems: Iterable[Problem], changes: Iterable[Change]
) -> Outcome:
    problems = tuple(problems)
    if has_errors(problems):
        return Outcome(before, problems, ())
    return Outcome(after, problems, tuple(sorted(changes, key=lambda change: change.key)))


def _new_elsewhere(before: World, after: World, documents: Iterable[Document]) -> list[Problem]:
    """Problems that the change makes for policies which it does not name: a subset that is gone."""
    named = {PolicyKey(d.kind, d.namespace, d.name) for d in documents}
    known = set(_all_references(before, named))
    return [problem for problem in _all_references(after, named) if problem not in known]


def _all_references(world: World, without: set[PolicyKey]) -> list[Problem]:
    index = Index(world)
    return [
        replace(problem, message=f"{policy.key}: {problem.message}", file="", line=0)
        for policy in world.policies
        if policy.key not in without
        for problem in references(index, policy)
    ]
