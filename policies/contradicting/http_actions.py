"""What a rule of a VirtualService does: which actions exclude each other, and each by itself."""

import base64
import binascii
from collections.abc import Iterator

from tulle.policies.contradicting.faults import check_fault
from tulle.policies.contradicting.paths import check_redirect, check_rewrite
from tulle.policies.contradicting.retries import check_retries
from tulle.policies.parse import Document
from tulle.policies.problems import Path, Problem
from tulle.policies.resources.networking.http_action import DirectResponse
from tulle.policies.resources.networking.virtual_service import HttpRoute

_LARGEST_BODY = 65_536
_WITHOUT_BODY = (204, 205, 304)


def check_actions(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    """Everything about the rule but its matches, destinations and headers."""
    yield from _exclusive(document, path, rule)
    yield from check_retries(document, path, rule)
    if rule.fault is not None:
        yield from check_fault(document, (*path, "fault"), rule.fault)
    if rule.rewrite is not None:
        yield from check_rewrite(document, path, rule)
    if rule.redirect is not None:
        yield from check_redirect(document, path, rule)
    if rule.direct_response is not None:
        yield from _direct(document, (*path, "directResponse"), rule.direct_response)


def _exclusive(document: Document, path: Path, rule: HttpRoute) -> Iterator[Problem]:
    candidates = {
        "route": rule.route,
        "redirect": rule.redirect,
        "directResponse": rule.direct_response,
    }
    given = [name for name, value in candidates.items() if value]
    if not given and not rule.delegate:
        message = "a rule needs a route with a destination, a redirect or a directResponse"
        yield document.problem("contradiction", path, message)
    if len(given) > 1:
        message = f"{' and '.join(given)} exclude each other; give only one"
        yield document.problem("contradiction", (*path, given[1]), message)
    answers = [name for name in given if name != "route"]
    if not answers:
        return
    for name, value in {"fault": rule.fault, "rewrite": rule.rewrite}.items():
        if value is not None:
            message = f"{name} can't be given with {answers[0]}: no request goes on"
            yield document.problem("contradiction", (*path, name), message)
    for name, unused in {"timeout": rule.timeout, "retries": rule.retries}.items():
        if unused is not None:
            message = f"{name} has no effect with {answers[0]}: no request goes on"
            yield document.problem("contradiction", (*path, name), message, "warning")


def _direct(document: Document, path: Path, direct: DirectResponse) -> Iterator[Problem]:
    if not 200 <= direct.status <= 599:
        yield document.problem("schema", (*path, "status"), "must be from 200 to 599")
    if direct.body is None:
        return
    size = len((direct.body.string or "").encode())
    if direct.body.bytes is not None:
        try:
            size = len(base64.b64decode(direct.body.bytes, validate=True))
        except (binascii.Error, ValueError):
            yield document.problem("schema", (*path, "body", "bytes"), "must be base64")
    if size > _LARGEST_BODY:
        message = f"must be of at most {_LARGEST_BODY} bytes, not {size}"
        yield document.problem("schema", (*path, "body"), message)
    if size and direct.status in _WITHOUT_BODY:
        message = f"an answer with status {direct.status} can't have a body"
        yield document.problem("contradiction", (*path, "body"), message)
