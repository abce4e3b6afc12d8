"""What an AuthorizationPolicy says and can't mean: targets, rules and their values."""

import re
from collections.abc import Iterable, Iterator

from tulle.policies.contradicting.conditions import (
    ATTRIBUTES,
    EXAMPLES,
    FIELDS,
    ValueCheck,
    wrong_attribute,
    wrong_text,
)
from tulle.policies.contradicting.selectors import workload_selector
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.security.authorization_policy import (
    AuthorizationPolicy,
    Operation,
    Rule,
    Source,
    When,
)
from tulle.policies.resources.security.common import TargetRef

_GROUP = re.compile(r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)?")
_TARGET_KIND = re.compile(r"[a-zA-Z](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")


def authorization_policy(document: Document, policy: AuthorizationPolicy) -> Iterator[Problem]:
    """Everything that an AuthorizationPolicy says and can't mean."""
    yield from workload_selector(document, policy.selector)
    if policy.target_ref is not None:
        yield from _target(document, ("spec", "targetRef"), policy.target_ref)
    for position, target in enumerate(policy.target_refs or ()):
        yield from _target(document, ("spec", "targetRefs", position), target)
    if policy.provider is not None and policy.action != "CUSTOM":
        message = "provider is for action CUSTOM alone"
        yield document.problem("contradiction", ("spec", "provider"), message)
    if policy.action == "DENY" and not policy.rules:
        message = "a DENY policy without rules never matches; rules: [{}] denies every request"
        yield document.problem("contradiction", ("spec",), message, "warning")
    for position, rule in enumerate(policy.rules):
        yield from _rule(document, ("spec", "rules", position), rule)


def _target(document: Document, path: Path, target: TargetRef) -> Iterator[Problem]:
    if target.namespace:
        message = "must not be given: a policy can be attached in its own namespace only"
        yield document.problem("contradiction", (*path, "namespace"), message)
    if not _GROUP.fullmatch(target.group or ""):
        yield document.problem("schema", (*path, "group"), "must be an API group, or empty")
    if not _TARGET_KIND.fullmatch(target.kind):
        yield document.problem("schema", (*path, "kind"), "must be letters, digits and -")


def _rule(document: Document, path: Path, rule: Rule) -> Iterator[Problem]:
    for field, noun, items in (
        ("from", "source", None if rule.from_ is None else [f.source for f in rule.from_]),
        ("to", "operation", None if rule.to is None else [t.operation for t in rule.to]),
    ):
        if items == []:
            message = f"must have at least one {noun}; to match all requests remove it"
            yield document.problem("contradiction", (*path, field), message)
        for position, item in enumerate(items or ()):
            yield from _values(document, (*path, field, position, noun), item)
    for position, condition in enumerate(rule.when):
        yield from _condition(document, (*path, "when", position), condition)


def _values(document: Document, path: Path, item: Source | Operation | None) -> Iterator[Problem]:
    given = item.model_dump(by_alias=True, exclude_unset=True) if item is not None else {}
    if not any(given.values()):
        message = f"must have at least one condition, such as {EXAMPLES[str(path[-1])]}"
        yield document.problem("contradiction", path[:-1] if item is None else path, message)
    for field, values in given.items():
        yield from _each(document, (*path, field), values, FIELDS[field])


def _condition(document: Document, path: Path, condition: When) -> Iterator[Problem]:
    key = condition.key
    if wrong := wrong_attribute(key):
        yield document.problem("schema", (*path, "key"), wrong)
    if not condition.values and not condition.not_values:
        message = "must have values or notValues"
        yield document.problem("contradiction", path, message)
    check = ATTRIBUTES.get(key, wrong_text)
    yield from _each(document, (*path, "values"), condition.values, check)
    yield from _each(document, (*path, "notValues"), condition.not_values, check)


def _each(
    document: Document, path: Path, values: Iterable[str], check: ValueCheck
) -> Iterator[Problem]:
    for position, value in enumerate(values):
        if wrong := check(value) if value else "must not be empty":
            yield document.problem("schema", (*path, position), wrong)
