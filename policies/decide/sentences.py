"""Why a caller was denied, in a sentence: who it is, and what is allowed or denied."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Final

from pydantic.alias_generators import to_camel

from tulle.policies.config import (
    AuthorizationConfig,
    AuthorizationRule,
    Condition,
    OperationMatch,
    SourceMatch,
)
from tulle.policies.decide.rules import Caller

_LONGEST: Final = 600
"""Characters of a sentence; policies may be far longer."""


def denied_by(caller: Caller, source: str, rule: AuthorizationRule) -> str:
    """Of a rule of a DENY policy that holds."""
    return _short(f"{_who(caller)} is denied by {source}, {rule.name}: {_rule(rule)}")


def not_allowed(caller: Caller, policies: Sequence[AuthorizationConfig]) -> str:
    """Of ALLOW policies none of which holds."""
    return _short(f"{_who(caller)} is not allowed. {'; '.join(map(_policy, policies))}")


def _who(caller: Caller) -> str:
    if not caller.principal:
        return f"A caller without mTLS ({caller.address})"
    return f"spiffe://{caller.principal}"


def _policy(policy: AuthorizationConfig) -> str:
    rules = " or ".join(f"({_rule(rule)})" for rule in policy.rules)
    return f"{policy.source} allows {rules or 'nothing'}"


def _rule(rule: AuthorizationRule) -> str:
    """`from principals a; to methods GET; when source.ip is 10.0.0.1`."""
    parts = [
        *_alternatives("from", rule.sources),
        *_alternatives("to", rule.operations),
        *(f"when {' and '.join(_condition(condition))}" for condition in rule.conditions),
    ]
    return "; ".join(parts) or "every request"


def _alternatives(word: str, matches: Iterable[SourceMatch | OperationMatch]) -> Iterator[str]:
    texts = [" and ".join(_match(match)) for match in matches]
    if texts:
        yield f"{word} {' or '.join(texts)}"


def _match(match: SourceMatch | OperationMatch) -> Iterator[str]:
    for field in fields(match):
        if values := getattr(match, field.name):
            yield f"{to_camel(field.name)} {', '.join(values)}"


def _condition(condition: Condition) -> Iterator[str]:
    if condition.values:
        yield f"{condition.key} is {', '.join(condition.values)}"
    if condition.not_values:
        yield f"{condition.key} is not {', '.join(condition.not_values)}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
