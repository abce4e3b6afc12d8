"""Retries: how many, how long, and on which conditions."""

from collections.abc import Iterator

from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem, did_you_mean, listed
from tulle.policies.resources.base import nanoseconds
from tulle.policies.resources.networking.http_action import Retries
from tulle.policies.resources.networking.virtual_service import HttpRoute
from tulle.policies.retry_on import CODES, CONDITIONS, GRPC, LATER, RetryOn, split_retry_on

_MOST = 100


def check_retries(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    """Everything that a rule's retries say and can't mean."""
    retries = rule.retries
    if retries is None:
        return
    path = (*path, "retries")
    attempts = retries.attempts or 0
    if not 0 <= attempts <= _MOST:
        yield document.problem("schema", (*path, "attempts"), f"must be from 0 to {_MOST}")
    if attempts == 0:
        yield from _switched_off(document, path, retries)
    per_try = retries.per_try_timeout
    if per_try and rule.timeout and nanoseconds(per_try) > nanoseconds(rule.timeout):
        message = f"has no effect: the timeout of the whole request is {rule.timeout}"
        yield document.problem("contradiction", (*path, "perTryTimeout"), message, "warning")
    if retries.retry_on:
        yield from _conditions(document, (*path, "retryOn"), split_retry_on(retries.retry_on))


def _switched_off(document: Document, path: Path, retries: Retries) -> Iterator[Problem]:
    given = {"perTryTimeout": retries.per_try_timeout, "retryOn": retries.retry_on}
    for name, value in given.items():
        if value:
            message = "has no effect: attempts is 0, which it also is when not given"
            yield document.problem("contradiction", (*path, name), message)


def _conditions(document: Document, path: Path, on: RetryOn) -> Iterator[Problem]:
    grpc = [word for word in on.others if word in GRPC]
    for word in on.others:
        if word in LATER:
            message = f"{word} is not supported yet; supported: {_allowed()}"
            yield document.problem("not-supported-yet", path, message)
        elif word not in GRPC:
            message = f"{word[:80]} is no condition; allowed: {_allowed()}."
            message += did_you_mean(word, (*CONDITIONS, *GRPC))
            yield document.problem("schema", path, message)
    if grpc and not on.names:
        message = f"conditions of gRPC are not supported yet; supported: {_allowed()}"
        yield document.problem("not-supported-yet", path, message)
    elif grpc:
        # No answer over HTTP/1.1 can meet them, so what is executed is all that may happen.
        message = f"{listed(grpc)}: conditions of gRPC, which no request meets yet"
        yield document.problem("not-supported-yet", path, message, "warning")
    if not on.names and not on.others:
        yield document.problem("schema", path, f"must name conditions: {_allowed()}")
    if CODES in on.names and not on.statuses:
        message = f"{CODES} has no effect without codes, as in {CODES},503"
        yield document.problem("contradiction", path, message, "warning")


def _allowed() -> str:
    return f"{listed(CONDITIONS)}, or codes like 503"
